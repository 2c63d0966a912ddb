//! FALCON public keys and the verification of signatures.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use fn_dsa::{DOMAIN_NONE, HASH_ID_ORIGINAL_FALCON, VerifyingKey as _, VerifyingKeyStandard};

use super::{Degree, FalconError};

/// SHA-256 of an encoded FALCON public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 32]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A FALCON public key, decoded once and cheap to clone.
#[derive(Clone)]
pub struct VerifyingKey(Arc<Inner>);

struct Inner {
    degree: Degree,
    encoded: Box<[u8]>,
    decoded: VerifyingKeyStandard,
}

impl VerifyingKey {
    /// Decodes a public key; the degree follows from its length.
    ///
    /// # Errors
    /// [`FalconError::VerifyingKey`] for any other length, a wrong header byte,
    /// or a coefficient outside the field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FalconError> {
        let error = FalconError::VerifyingKey(bytes.len());
        let degree = Degree::with_len(bytes.len(), Degree::verifying_key_len).ok_or(error)?;
        let decoded = VerifyingKeyStandard::decode(bytes).ok_or(error)?;
        Ok(Self(Arc::new(Inner {
            degree,
            encoded: bytes.into(),
            decoded,
        })))
    }

    /// The encoded key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.encoded
    }

    /// The parameter set.
    #[must_use]
    pub fn degree(&self) -> Degree {
        self.0.degree
    }

    /// Whether `signature`, in the padded format, is this key's over `message`.
    /// Any other length is false.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0
            .decoded
            .verify(signature, &DOMAIN_NONE, &HASH_ID_ORIGINAL_FALCON, message)
    }

    /// SHA-256 of the encoded key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, &self.0.encoded).as_ref());
        KeyId(id)
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.encoded == other.0.encoded
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.degree.name(), self.key_id())
    }
}
