//! Whose signatures stand: keys and what they signed, for all workers (`docs/wire-format.md`,
//! section 16).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use stoq_core::authorise::{Expect, Peer, Refusal};
use stoq_core::falcon::VerifyingKey;
use stoq_core::tls::TlsContext;
use stoq_frames::sha256;
use stoq_frames::signed::{Keys, MAX_AHEAD, SignatureRefusal, Signed};
use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::frame::key::Key;
use stoq_wire::frame::shard::Shard;
use stoq_wire::frame::signature::{Signature, Subject};
use stoq_wire::frame::{Frame, FrameError};

/// Signatures that are known at once: some 300 bytes each.
const KNOWN: usize = 4096;

/// What clocks may differ by: a signature ends so many seconds before its receiver would call that
/// too far ahead.
const SKEW: u64 = 3600;

/// Why a key or a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSigned {
    /// A rule of signatures.
    #[error(transparent)]
    Refused(#[from] SignatureRefusal),
    /// The certificate of who signs is not let in.
    #[error("the signer's certificate: {0}")]
    Certificate(Refusal),
    /// Bytes that are no key.
    #[error("the key that is announced is none of FALCON")]
    NoKey,
}

impl NotSigned {
    /// What the stream is reset with.
    pub(crate) fn code(&self) -> StreamCode {
        StreamCode::BadSignature
    }

    /// What the connection is closed with, if it is.
    pub(crate) fn connection_code(&self) -> Option<ConnectionCode> {
        match self {
            Self::Refused(refusal) => refusal.connection_code(),
            Self::Certificate(_) | Self::NoKey => None,
        }
    }
}

/// A signature that verified, with what it takes to show it to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Whose it is, by a certificate that the gate let in.
    pub(crate) signer: Arc<Peer>,
    pub(crate) signature: Signature,
}

impl Proof {
    /// Whether it is over this manifest.
    pub(crate) fn covers(&self, manifest: &Shard) -> bool {
        self.signature.subject == Subject::Manifest
            && digest_of(manifest).is_ok_and(|digest| digest == self.signature.digest)
    }

    /// The frames that show it to somebody who knows neither signer nor key; none by a key that is
    /// not in the signer's certificate. Whether it still [stands](Signatures::stands) is not looked at.
    pub(super) fn frames(&self) -> Option<Bytes> {
        let certified = self.signature.key_id == self.signer.falcon_key_id.0;
        let signature = self.signature.clone();
        certified.then(|| encoded(self.signer.leaf_der.to_vec(), signature).ok())?
    }
}

/// The frames with which we sign a manifest; `None` without an identity. Nobody takes them once our
/// certificate has ended.
///
/// # Errors
/// [`FrameError`] for a manifest that cannot be written.
pub(super) fn sign(tls: &TlsContext, manifest: &Shard) -> Result<Option<Bytes>, FrameError> {
    let made = tls.sign_frame(Subject::Manifest, digest_of(manifest)?, MAX_AHEAD - SKEW);
    made.map(|(leaf, signature)| encoded(leaf, signature))
        .transpose()
}

fn encoded(leaf: Vec<u8>, signature: Signature) -> Result<Bytes, FrameError> {
    let mut encoded = Vec::new();
    Frame::Key(Key::Certificate { leaf }).encode(&mut encoded)?;
    Frame::Signature(signature).encode(&mut encoded)?;
    Ok(encoded.into())
}

/// What is signed of a manifest: its frame, with integers in their shortest form.
fn digest_of(manifest: &Shard) -> Result<[u8; 32], FrameError> {
    let mut encoded = Vec::new();
    Frame::Shard(manifest.clone()).encode(&mut encoded)?;
    Ok(sha256(&encoded))
}

/// Shared by the workers of an engine.
pub(crate) struct Signatures(Mutex<Inner>);

struct Inner {
    keys: Keys,
    signed: Signed,
}

impl Signatures {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Inner {
            keys: Keys::default(),
            signed: Signed::new(KNOWN),
        }))
    }

    /// Whom a certificate names that came from the peer `from`. Others' than its own identity's, of
    /// which it has few, cost it something unless we have `asked` for what they signed.
    pub(crate) fn certificate(
        &self,
        tls: &TlsContext,
        from: &Peer,
        leaf: &[u8],
        asked: bool,
        now: Instant,
    ) -> Result<Peer, NotSigned> {
        let name = from.spiffe.as_str();
        self.lock().signed.may_verify(name, now)?;
        let found = tls.vouched(leaf).map_err(NotSigned::Certificate);
        let free = |peer: &Peer| asked || peer.spiffe == from.spiffe;
        if !found.as_ref().is_ok_and(|known| free(&known.peer)) {
            self.lock().signed.in_vain(name, now);
        }
        found.map(|known| known.peer)
    }

    /// Takes a signature of `signer` that came from the peer `from`.
    pub(crate) fn signature(
        &self,
        tls: &TlsContext,
        from: &Peer,
        signer: &Peer,
        signature: &Signature,
        now: Instant,
    ) -> Result<(), NotSigned> {
        let peer = from.spiffe.as_str();
        // Its certificate may have ended since, or have been revoked.
        let vouched = tls.vouched(&signer.leaf_der).map_err(|refusal| {
            self.lock().signed.in_vain(peer, now);
            NotSigned::Certificate(refusal)
        });
        let certified = vouched?.falcon;
        let verify = |key: &[u8], content: &[u8], signature: &[u8]| match key {
            key if key == certified.as_bytes() => certified.verify(content, signature),
            // One that was rotated to.
            key => VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify(content, signature)),
        };
        let (name, unix) = (signer.spiffe.as_str(), tls.unix());
        let Inner { keys, signed } = &mut *self.lock();
        if signature.key_id == signer.falcon_key_id.0 {
            let pinned = keys.pin(name, certified.as_bytes(), signer.not_after + 1);
            pinned.inspect_err(|_| signed.in_vain(peer, now))?;
        }
        signed.take(peer, name, signature, keys, &verify, (now, unix))?;
        Ok(())
    }

    /// Takes what the peer `from` says of its own keys. `announced` is the id that it announced in
    /// the handshake.
    pub(crate) fn key(
        &self,
        tls: &TlsContext,
        from: &Peer,
        announced: Option<[u8; 32]>,
        key: &Key,
        now: Instant,
    ) -> Result<(), NotSigned> {
        let name = from.spiffe.as_str();
        self.lock().signed.may_verify(name, now)?;
        let taken = self.changed(tls, from, announced, key);
        taken.inspect_err(|_| self.lock().signed.in_vain(name, now))
    }

    fn changed(
        &self,
        tls: &TlsContext,
        from: &Peer,
        announced: Option<[u8; 32]>,
        key: &Key,
    ) -> Result<(), NotSigned> {
        if let Key::Announce { key } | Key::Rotate { key, .. } = key
            && VerifyingKey::from_bytes(key).is_err()
        {
            return Err(NotSigned::NoKey);
        }
        let name = from.spiffe.as_str();
        let Inner { keys, signed } = &mut *self.lock();
        if let Key::Announce { key } = key {
            keys.announce(name, key, announced.as_ref(), from.not_after + 1)?;
        } else if let Some(revoked) = keys.change(name, key, signed, tls.unix())? {
            signed.revoke(&revoked);
        }
        Ok(())
    }

    /// Whether a proof still stands: neither its key nor its signer's certificate was revoked, and
    /// neither has ended.
    pub(crate) fn stands(&self, tls: &TlsContext, proof: &Proof) -> bool {
        let name = proof.signer.spiffe.as_str();
        let revoked = self.lock().keys.is_revoked(name, &proof.signature.key_id);
        !revoked
            && tls.unix() < proof.signature.until
            && tls.reauthorise(&proof.signer, &Expect::AnyInMesh).is_ok()
    }

    /// No operation under this lock can panic half-way, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
