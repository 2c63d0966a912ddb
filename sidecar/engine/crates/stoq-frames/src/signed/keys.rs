//! The keys of each identity: pinned, rotated, revoked (F1 to F3).

use std::collections::{HashMap, HashSet};

use stoq_wire::frame::Frame;
use stoq_wire::frame::key::Key;
use stoq_wire::frame::signature::{Signature, Subject};

use super::{MAX_AHEAD, SignatureRefusal, Signed, Verify};
use crate::sha256;

/// SHA-256 of an encoded public key.
pub type KeyId = [u8; 32];

/// Keys that are kept of an identity (F3).
const MAX_KEYS: usize = 4;

/// Keys that an identity may revoke by itself, so that it cannot fill our memory.
const MAX_REVOKED: usize = 64;

/// Identities whose keys are kept. One more, and that whose keys end first makes room: a certificate
/// brings them back.
const MAX_IDENTITIES: usize = 1024;

/// The keys that are trusted, by identity: bounded.
#[derive(Debug, Default)]
pub struct Keys {
    trusted: HashMap<String, Vec<Trusted>>,
    /// Ids that are never trusted again, by identity.
    revoked: HashMap<String, HashSet<KeyId>>,
}

#[derive(Debug)]
struct Trusted {
    id: KeyId,
    key: Vec<u8>,
    /// When it is no longer trusted, Unix seconds: as long as its certificate, or that of the key
    /// that it was rotated from.
    until: u64,
}

impl Keys {
    /// Trusts the key of an identity's certificate, which was authorised, to its end.
    ///
    /// # Errors
    /// [`SignatureRefusal::RevokedKey`].
    pub fn pin(
        &mut self,
        identity: &str,
        key: &[u8],
        until: u64,
    ) -> Result<KeyId, SignatureRefusal> {
        let id = sha256(key);
        if self.is_revoked(identity, &id) {
            return Err(SignatureRefusal::RevokedKey);
        }
        if !self.trusted.contains_key(identity) {
            self.make_room();
        }
        let keys = self.trusted.entry(identity.to_owned()).or_default();
        if let Some(known) = keys.iter_mut().find(|known| known.id == id) {
            known.until = known.until.max(until);
            return Ok(id);
        }
        if keys.len() == MAX_KEYS {
            keys.remove(0);
        }
        let key = key.to_vec();
        keys.push(Trusted { id, key, until });
        Ok(id)
    }

    /// Trusts a key that an authenticated peer announced, if `announced` is its id: what the
    /// transport parameters of the connection say (F1). `until`: the end of the peer's certificate.
    ///
    /// # Errors
    /// [`SignatureRefusal::UnknownKey`] for another one, and as [`pin`](Self::pin).
    pub fn announce(
        &mut self,
        identity: &str,
        key: &[u8],
        announced: Option<&KeyId>,
        until: u64,
    ) -> Result<KeyId, SignatureRefusal> {
        let id = sha256(key);
        let known = self.get(identity, &id).is_ok();
        if !known && announced != Some(&id) {
            return Err(SignatureRefusal::UnknownKey);
        }
        self.pin(identity, key, until)
    }

    /// Rotates or revokes a key, once [`Signed`] has taken a signature over the frame: a rotation
    /// by the old key, a revocation by any that is trusted (F2). Returns the id that was revoked;
    /// [`Signed::revoke`] forgets what it signed.
    ///
    /// # Errors
    /// [`SignatureRefusal`]; nothing has changed then.
    pub fn change(
        &mut self,
        identity: &str,
        frame: &Key,
        signed: &Signed,
        unix: u64,
    ) -> Result<Option<KeyId>, SignatureRefusal> {
        let mut encoded = Vec::new();
        let written = Frame::Key(frame.clone()).encode(&mut encoded);
        let by = signed.by(Subject::Key, &sha256(&encoded), unix);
        let Some((_, by)) = by.filter(|(who, _)| written.is_ok() && *who == identity) else {
            return Err(SignatureRefusal::OtherContent);
        };
        match frame {
            Key::Announce { .. } | Key::Certificate { .. } => Err(SignatureRefusal::OtherContent),
            Key::Rotate { old, key } if by == *old => {
                let until = self.get(identity, old)?.until;
                self.pin(identity, key, until).map(|_| None)
            }
            Key::Rotate { .. } => Err(SignatureRefusal::UnknownKey),
            Key::Revoke { old } => {
                self.get(identity, old)?;
                let full = match self.revoked.get(identity) {
                    Some(theirs) => theirs.len() >= MAX_REVOKED,
                    None => self.revoked.len() >= MAX_IDENTITIES,
                };
                if full {
                    return Err(SignatureRefusal::TooMany);
                }
                self.revoke(identity, old);
                Ok(Some(*old))
            }
        }
    }

    /// Takes a key back, whoever says so: the registry may.
    pub fn revoke(&mut self, identity: &str, id: &KeyId) {
        if let Some(keys) = self.trusted.get_mut(identity) {
            keys.retain(|known| known.id != *id);
        }
        self.revoked
            .entry(identity.to_owned())
            .or_default()
            .insert(*id);
    }

    /// Whether a key was taken back.
    #[must_use]
    pub fn is_revoked(&self, identity: &str, id: &KeyId) -> bool {
        let revoked = self.revoked.get(identity);
        revoked.is_some_and(|revoked| revoked.contains(id))
    }

    /// Holds a signature against an identity's keys and the time (F1, F4). Returns when the key ends.
    pub(crate) fn verify(
        &self,
        identity: &str,
        signature: &Signature,
        verify: Verify<'_>,
        unix: u64,
    ) -> Result<u64, SignatureRefusal> {
        if signature.until <= unix {
            return Err(SignatureRefusal::Ended(signature.until));
        }
        if signature.until > unix.saturating_add(MAX_AHEAD) {
            return Err(SignatureRefusal::Ahead(signature.until));
        }
        let Trusted { key, until, .. } = self.get(identity, &signature.key_id)?;
        if *until <= unix {
            return Err(SignatureRefusal::ExpiredKey(*until));
        }
        // H5: a key begins with the degree's logarithm, a signature with 0x30 more.
        if key.first().map(|degree| degree + 0x30) != signature.signature.first().copied() {
            return Err(SignatureRefusal::Degree);
        }
        match verify(key, &signature.signed_content(), &signature.signature) {
            true => Ok(*until),
            false => Err(SignatureRefusal::Forged),
        }
    }

    fn get(&self, identity: &str, id: &KeyId) -> Result<&Trusted, SignatureRefusal> {
        if self.is_revoked(identity, id) {
            return Err(SignatureRefusal::RevokedKey);
        }
        let mut keys = self.trusted.get(identity).into_iter().flatten();
        keys.find(|known| known.id == *id)
            .ok_or(SignatureRefusal::UnknownKey)
    }

    fn make_room(&mut self) {
        if self.trusted.len() < MAX_IDENTITIES {
            return;
        }
        let ends = |keys: &Vec<Trusted>| keys.iter().map(|key| key.until).max();
        let first = self.trusted.iter().min_by_key(|(_, keys)| ends(keys));
        if let Some(identity) = first.map(|(identity, _)| identity.clone()) {
            self.trusted.remove(&identity);
        }
    }
}
