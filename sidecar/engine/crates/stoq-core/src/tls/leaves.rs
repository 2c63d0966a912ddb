//! Leaves whose signatures have been verified.
//!
//! One full handshake asks about the same leaf three times (the certificate,
//! the CertificateVerify, the gate), and every resumed one again. Whether two
//! signatures verify never changes, so it is computed once: 0.1 ms saved each
//! time. What does change (time, revocation, which roots are trusted, whom we
//! expect) is decided anew each time by
//! [`reauthorise`](crate::authorise::reauthorise).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use crate::authorise::{Peer, Refusal, Trust, parsed, vouched};
use crate::bounded::Bounded;
use crate::falcon::VerifyingKey;
use crate::key::ED25519_LEN;

/// Leaves remembered, at about 10 KB each.
const CAPACITY: usize = 256;

/// Verified leaves by their SHA-256.
pub(crate) struct Leaves(Mutex<Bounded<[u8; 32], Arc<VerifiedLeaf>>>);

/// A leaf that a trusted root signed with both keys.
pub(crate) struct VerifiedLeaf {
    pub(crate) peer: Peer,
    pub(crate) ed25519: [u8; ED25519_LEN],
    pub(crate) falcon: VerifyingKey,
}

impl Leaves {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Bounded::new(CAPACITY)))
    }

    /// Verifies a leaf, or remembers that it was.
    pub(crate) fn verified(&self, der: &[u8], trust: &Trust) -> Result<Arc<VerifiedLeaf>, Refusal> {
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, der).as_ref());
        if let Some(known) = self.lock().get(&id) {
            return Ok(known.clone());
        }
        let leaf = parsed(der)?;
        let verified = Arc::new(VerifiedLeaf {
            peer: vouched(&leaf, trust)?,
            ed25519: leaf.ed25519,
            falcon: leaf.falcon,
        });
        self.lock().insert(id, verified.clone());
        Ok(verified)
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Bounded<[u8; 32], Arc<VerifiedLeaf>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leaves")
    }
}
