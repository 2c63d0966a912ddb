//! Signatures: which keys are trusted for whom, and what they signed (wire format, section 16).
//!
//! FALCON itself is the caller's, as an argument: this crate has no lattices.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::frame::signature::{Signature, Subject};

use crate::budget::Budget;
use crate::sha256;

mod keys;

pub use keys::{KeyId, Keys};

/// How far ahead a signature may end, in seconds: seven days.
pub const MAX_AHEAD: u64 = 7 * 24 * 3600;

/// Whether `signature` is by `key` over `content`, by FALCON.
pub type Verify<'a> = &'a dyn Fn(&[u8], &[u8], &[u8]) -> bool;

/// Why a signature or key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// A key that is not trusted for the identity.
    #[error("the key is not trusted for this identity")]
    UnknownKey,
    /// A key that was taken back.
    #[error("the key was revoked")]
    RevokedKey,
    /// A key whose certificate has ended.
    #[error("the certificate of the key ended at {0}")]
    ExpiredKey(u64),
    /// A signature of another key's length.
    #[error("the signature is not of the key's degree")]
    Degree,
    /// A signature that has ended.
    #[error("the signature ended at {0}")]
    Ended(u64),
    /// A signature that ends too late.
    #[error("the signature ends at {0}, more than seven days ahead")]
    Ahead(u64),
    /// It does not verify.
    #[error("the signature does not verify")]
    Forged,
    /// A signature over something else than the frame before it.
    #[error("the signature is over something else")]
    OtherContent,
    /// More than a peer may have us verify in vain.
    #[error("too many signatures and keys that are not acceptable")]
    TooMany,
}

impl SignatureRefusal {
    /// What the stream is reset with; `None` where the connection is closed.
    #[must_use]
    pub const fn code(&self) -> Option<StreamCode> {
        match self {
            Self::TooMany => None,
            _ => Some(StreamCode::BadSignature),
        }
    }

    /// What the connection is closed with, if it is.
    #[must_use]
    pub const fn connection_code(&self) -> Option<ConnectionCode> {
        match self {
            Self::TooMany => Some(ConnectionCode::Overloaded),
            _ => None,
        }
    }
}

/// What is signed, and by whom: bounded, and each until it ends.
#[derive(Debug)]
pub struct Signed {
    most: usize,
    known: HashMap<(Subject, [u8; 32]), By>,
    /// The same by when it ends, so that what ends first makes room.
    ends: BTreeMap<(u64, Subject, [u8; 32]), ()>,
    /// Of peers that had us verify in vain lately.
    budgets: HashMap<String, Budget>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct By {
    identity: String,
    key: KeyId,
    until: u64,
    /// SHA-256 of what is signed and of the signature: nobody may say it with another end.
    made: [u8; 32],
}

impl Signed {
    /// Nothing signed; at most `most` at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (known, ends) = (HashMap::new(), BTreeMap::new());
        Self {
            most,
            known,
            ends,
            budgets: HashMap::new(),
        }
    }

    /// Takes a signature of `identity` that came from the peer `from`. `unix` are Unix seconds. One
    /// that is known already, as it comes on each lane of an object, is not verified again.
    ///
    /// # Errors
    /// [`SignatureRefusal`] of the first rule that is broken; cheap ones come first.
    pub fn take(
        &mut self,
        from: &str,
        identity: &str,
        signature: &Signature,
        keys: &Keys,
        verify: Verify<'_>,
        (now, unix): (Instant, u64),
    ) -> Result<(), SignatureRefusal> {
        let at = (signature.subject, signature.digest);
        let made = sha256(&[&signature.signed_content()[..], &signature.signature].concat());
        let by = |until| By {
            identity: identity.to_owned(),
            key: signature.key_id,
            until,
            made,
        };
        self.expire(unix);
        if let Some(known) = self.known.get(&at)
            && *known == by(known.until)
        {
            return Ok(());
        }
        self.may_verify(from, now)?;
        let ends = match keys.verify(identity, signature, verify, unix) {
            Ok(ends) => ends,
            Err(refusal) => {
                self.in_vain(from, now);
                return Err(refusal);
            }
        };
        self.forget(&at);
        if self.known.len() >= self.most
            && let Some((first, ())) = self.ends.pop_first()
        {
            self.known.remove(&(first.1, first.2));
        }
        let by = by(signature.until.min(ends));
        self.ends.insert((by.until, at.0, at.1), ());
        self.known.insert(at, by);
        Ok(())
    }

    /// Whether anything is to be verified for a peer now (F6).
    ///
    /// # Errors
    /// [`SignatureRefusal::TooMany`].
    pub fn may_verify(&mut self, from: &str, now: Instant) -> Result<(), SignatureRefusal> {
        let budget = self.budgets.get_mut(from);
        match budget.is_none_or(|budget| budget.has(now)) {
            true => Ok(()),
            false => Err(SignatureRefusal::TooMany),
        }
    }

    /// A peer had us verify something that was not worth it.
    pub fn in_vain(&mut self, from: &str, now: Instant) {
        self.budgets.retain(|_, budget| !budget.is_whole(now));
        let budget = self.budgets.entry(from.to_owned());
        budget.or_insert_with(|| Budget::new(now)).take(now);
    }

    /// Who signed this with which key, if somebody did and it has not ended.
    #[must_use]
    pub fn by(&self, subject: Subject, digest: &[u8; 32], unix: u64) -> Option<(&str, KeyId)> {
        let by = self.known.get(&(subject, *digest))?;
        (unix < by.until).then_some((by.identity.as_str(), by.key))
    }

    /// Forgets what a key signed: it was revoked (F2).
    pub fn revoke(&mut self, key: &KeyId) {
        self.known.retain(|_, by| by.key != *key);
        self.ends
            .retain(|(_, subject, digest), ()| self.known.contains_key(&(*subject, *digest)));
    }

    /// Forgets what has ended.
    pub fn expire(&mut self, unix: u64) {
        while let Some(first) = self
            .ends
            .first_entry()
            .filter(|first| first.key().0 <= unix)
        {
            let ((_, subject, digest), ()) = first.remove_entry();
            self.known.remove(&(subject, digest));
        }
    }

    /// How much is known to be signed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is known to be signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn forget(&mut self, at: &(Subject, [u8; 32])) {
        if let Some(before) = self.known.remove(at) {
            self.ends.remove(&(before.until, at.0, at.1));
        }
    }
}
