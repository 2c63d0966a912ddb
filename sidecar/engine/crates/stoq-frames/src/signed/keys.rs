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

/// The keys that are trusted, by identity. The caller drops identities that are gone.
#[derive(Debug, Default)]
pub struct Keys {
    trusted: HashMap<String, Vec<(KeyId, Vec<u8>)>>,
    /// Ids that are never trusted again, by identity.
    revoked: HashMap<String, HashSet<KeyId>>,
}

impl Keys {
    /// Trusts the key of an identity's certificate, which was authorised.
    ///
    /// # Errors
    /// [`SignatureRefusal::RevokedKey`].
    pub fn pin(&mut self, identity: &str, key: &[u8]) -> Result<KeyId, SignatureRefusal> {
        let id = sha256(key);
        if self.is_revoked(identity, &id) {
            return Err(SignatureRefusal::RevokedKey);
        }
        let keys = self.trusted.entry(identity.to_owned()).or_default();
        if !keys.iter().any(|(known, _)| *known == id) {
            if keys.len() == MAX_KEYS {
                keys.remove(0);
            }
            keys.push((id, key.to_vec()));
        }
        Ok(id)
    }

    /// Trusts a key that an authenticated peer announced, if `announced` is its id: what the
    /// transport parameters of the connection say (F1).
    ///
    /// # Errors
    /// [`SignatureRefusal::UnknownKey`] for another one, and as [`pin`](Self::pin).
    pub fn announce(
        &mut self,
        identity: &str,
        key: &[u8],
        announced: Option<&KeyId>,
    ) -> Result<KeyId, SignatureRefusal> {
        let id = sha256(key);
        let known = self.get(identity, &id).is_ok();
        if !known && announced != Some(&id) {
            return Err(SignatureRefusal::UnknownKey);
        }
        self.pin(identity, key)
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
            Key::Announce { .. } => Err(SignatureRefusal::OtherContent),
            Key::Rotate { old, key } => match by == *old {
                true => self.pin(identity, key).map(|_| None),
                false => Err(SignatureRefusal::UnknownKey),
            },
            Key::Revoke { old } => {
                self.get(identity, old)?;
                if self
                    .revoked
                    .get(identity)
                    .is_some_and(|revoked| revoked.len() >= MAX_REVOKED)
                {
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
            keys.retain(|(known, _)| known != id);
        }
        self.revoked
            .entry(identity.to_owned())
            .or_default()
            .insert(*id);
    }

    /// Forgets an identity that is gone, but not what was revoked of it.
    pub fn gone(&mut self, identity: &str) {
        self.trusted.remove(identity);
    }

    /// Holds a signature against an identity's keys and the time (F1, F4).
    pub(crate) fn verify(
        &self,
        identity: &str,
        signature: &Signature,
        verify: Verify<'_>,
        unix: u64,
    ) -> Result<(), SignatureRefusal> {
        if signature.until <= unix {
            return Err(SignatureRefusal::Ended(signature.until));
        }
        if signature.until > unix.saturating_add(MAX_AHEAD) {
            return Err(SignatureRefusal::Ahead(signature.until));
        }
        let key = self.get(identity, &signature.key_id)?;
        // H5: a key begins with the degree's logarithm, a signature with 0x30 more.
        if key.first().map(|degree| degree + 0x30) != signature.signature.first().copied() {
            return Err(SignatureRefusal::Degree);
        }
        match verify(key, &signature.signed_content(), &signature.signature) {
            true => Ok(()),
            false => Err(SignatureRefusal::Forged),
        }
    }

    fn get(&self, identity: &str, id: &KeyId) -> Result<&[u8], SignatureRefusal> {
        if self.is_revoked(identity, id) {
            return Err(SignatureRefusal::RevokedKey);
        }
        let keys = self.trusted.get(identity).into_iter().flatten();
        let found = keys.into_iter().find(|(known, _)| known == id);
        found
            .map(|(_, key)| key.as_slice())
            .ok_or(SignatureRefusal::UnknownKey)
    }

    fn is_revoked(&self, identity: &str, id: &KeyId) -> bool {
        self.revoked
            .get(identity)
            .is_some_and(|revoked| revoked.contains(id))
    }
}
