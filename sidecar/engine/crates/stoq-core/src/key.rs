//! A workload's or an authority's key: Ed25519 and FALCON together.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::falcon::{FalconError, SigningKey, VerifyingKey};
use crate::profile::CryptoProfile;

/// Bytes of an Ed25519 public key and of the seed it grows from (RFC 8032, 5.1.5).
pub const ED25519_LEN: usize = 32;

/// Bytes of an Ed25519 signature (RFC 8032, 5.1.6).
pub const ED25519_SIGNATURE_LEN: usize = 64;

/// Why bytes are not a hybrid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Fewer bytes than the Ed25519 seed.
    #[error(
        "a hybrid key of {0} bytes is too short: it begins with {ED25519_LEN} bytes of Ed25519 seed"
    )]
    TooShort(usize),
    /// The FALCON part.
    #[error(transparent)]
    Falcon(#[from] FalconError),
}

/// An Ed25519 and a FALCON key pair. Clones share one copy; the secrets are
/// overwritten when the last clone goes. `Debug` prints public parts only.
#[derive(Clone)]
pub struct HybridKey(Arc<Inner>);

struct Inner {
    seed: Zeroizing<[u8; ED25519_LEN]>,
    ed25519: Ed25519KeyPair,
    falcon: SigningKey,
}

impl HybridKey {
    /// Makes a key pair with the profile's FALCON degree.
    #[must_use]
    pub fn generate<R: CryptoRng + RngCore>(profile: CryptoProfile, rng: &mut R) -> Self {
        let mut seed = Zeroizing::new([0; ED25519_LEN]);
        rng.fill_bytes(&mut *seed);
        Self::new(seed, SigningKey::generate(profile.degree(), rng))
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote: seed, then FALCON key.
    ///
    /// # Errors
    /// [`KeyError`] for a wrong length or a malformed FALCON key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let (seed, falcon) = bytes
            .split_first_chunk::<ED25519_LEN>()
            .ok_or(KeyError::TooShort(bytes.len()))?;
        Ok(Self::new(
            Zeroizing::new(*seed),
            SigningKey::from_bytes(falcon)?,
        ))
    }

    fn new(seed: Zeroizing<[u8; ED25519_LEN]>, falcon: SigningKey) -> Self {
        let ed25519 =
            Ed25519KeyPair::from_seed_unchecked(&*seed).expect("any 32 bytes are an Ed25519 seed");
        Self(Arc::new(Inner {
            seed,
            ed25519,
            falcon,
        }))
    }

    /// The secrets: 32 bytes of Ed25519 seed and the FALCON private key. The
    /// copy overwrites itself when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let falcon = self.0.falcon.to_bytes();
        let mut bytes = Zeroizing::new(Vec::with_capacity(ED25519_LEN + falcon.len()));
        bytes.extend_from_slice(&*self.0.seed);
        bytes.extend_from_slice(&falcon);
        bytes
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn ed25519_public(&self) -> [u8; ED25519_LEN] {
        let mut public = [0; ED25519_LEN];
        public.copy_from_slice(self.0.ed25519.public_key().as_ref());
        public
    }

    /// The FALCON public key.
    #[must_use]
    pub fn falcon_public(&self) -> &VerifyingKey {
        self.0.falcon.verifying_key()
    }

    /// Signs with Ed25519.
    #[must_use]
    pub fn sign_ed25519(&self, message: &[u8]) -> [u8; ED25519_SIGNATURE_LEN] {
        let mut signature = [0; ED25519_SIGNATURE_LEN];
        signature.copy_from_slice(self.0.ed25519.sign(message).as_ref());
        signature
    }

    /// Signs with FALCON.
    #[must_use]
    pub fn sign_falcon<R: CryptoRng + RngCore>(&self, rng: &mut R, message: &[u8]) -> Vec<u8> {
        self.0.falcon.sign(rng, message)
    }
}

/// Whether `signature` is the Ed25519 key's over `message` (RFC 8032, 5.1.7).
#[must_use]
pub fn verify_ed25519(public: &[u8; ED25519_LEN], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, signature)
        .is_ok()
}

impl fmt::Debug for HybridKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HybridKey(Ed25519, {:?})", self.falcon_public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    #[test]
    fn both_halves_sign_and_verify() {
        let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
        let ed25519 = key.sign_ed25519(b"m");
        assert!(verify_ed25519(&key.ed25519_public(), b"m", &ed25519));
        assert!(!verify_ed25519(&key.ed25519_public(), b"n", &ed25519));
        assert!(!verify_ed25519(&key.ed25519_public(), b"m", &ed25519[1..]));
        let falcon = key.sign_falcon(&mut OsRng, b"m");
        assert!(key.falcon_public().verify(b"m", &falcon));
    }

    #[test]
    fn the_ed25519_half_is_that_of_rfc_8032() {
        // RFC 8032, section 7.1, test 1.
        let seed: [u8; 32] = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
            0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
            0x1c, 0xae, 0x7f, 0x60,
        ];
        let falcon = SigningKey::generate(crate::falcon::Degree::Falcon512, &mut OsRng);
        let bytes = [&seed[..], &falcon.to_bytes()].concat();
        let key = HybridKey::from_bytes(&bytes).unwrap();
        assert_eq!(key.ed25519_public()[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(key.sign_ed25519(b"")[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert_eq!(key.to_bytes()[..], bytes[..]);
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert_eq!(
            HybridKey::from_bytes(&[0; 31]).unwrap_err(),
            KeyError::TooShort(31)
        );
        assert_eq!(
            HybridKey::from_bytes(&[0; 100]).unwrap_err(),
            KeyError::Falcon(FalconError::SigningKey(68))
        );
    }

    #[test]
    fn debug_prints_no_secret() {
        let key = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
        let text = format!("{key:?}");
        assert!(text.starts_with("HybridKey(Ed25519, FALCON-512 "), "{text}");
        assert_eq!(text.len(), "HybridKey(Ed25519, FALCON-512 )".len() + 64);
    }
}
