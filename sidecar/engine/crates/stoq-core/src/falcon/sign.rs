//! FALCON private keys and signing.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Weak};

use fn_dsa::{
    DOMAIN_NONE, HASH_ID_ORIGINAL_FALCON, KeyPairGenerator as _, KeyPairGeneratorStandard,
    SigningKey as _, SigningKeyStandard,
};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::{Degree, FalconError, VerifyingKey};

/// A FALCON private key. Clones share one copy; the bytes are overwritten when
/// the last clone goes. `Debug` prints the public key's id only.
#[derive(Clone)]
pub struct SigningKey {
    secret: Arc<Secret>,
    verifying: VerifyingKey,
}

type Secret = Zeroizing<Vec<u8>>;

/// Decoded keys one thread keeps: its own, and a second while keys rotate.
const DECODED_KEYS_PER_THREAD: usize = 2;

/// A key decoded for one thread, and the secret it came from.
type Decoded = (Weak<Secret>, Box<SigningKeyStandard>);

thread_local! {
    // Signing needs 120 KB of scratch that fn-dsa keeps inside the decoded key.
    // A copy per thread lets workers sign without a lock between them; one whose
    // secret is gone is dropped (and overwritten) at the next use.
    static DECODED: RefCell<Vec<Decoded>> = const { RefCell::new(Vec::new()) };
}

impl SigningKey {
    /// Makes a key pair. Takes about 10 ms for FALCON-1024.
    #[must_use]
    pub fn generate<R: CryptoRng + RngCore>(degree: Degree, rng: &mut R) -> Self {
        let mut secret = Zeroizing::new(vec![0; degree.signing_key_len()]);
        let mut public = vec![0; degree.verifying_key_len()];
        KeyPairGeneratorStandard::default().keygen(degree.logn(), rng, &mut secret, &mut public);
        let verifying =
            VerifyingKey::from_bytes(&public).expect("a generated public key is well-formed");
        Self {
            secret: Arc::new(secret),
            verifying,
        }
    }

    /// Decodes a private key; the degree follows from its length.
    ///
    /// # Errors
    /// [`FalconError::SigningKey`] for any other length or a malformed key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FalconError> {
        let error = FalconError::SigningKey(bytes.len());
        let degree = Degree::with_len(bytes.len(), Degree::signing_key_len).ok_or(error)?;
        let decoded = decode(bytes).ok_or(error)?;
        let mut public = vec![0; degree.verifying_key_len()];
        decoded.to_verifying_key(&mut public);
        Ok(Self {
            secret: Arc::new(Zeroizing::new(bytes.to_vec())),
            verifying: VerifyingKey::from_bytes(&public).map_err(|_| error)?,
        })
    }

    /// The encoded private key. The copy overwrites itself when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        (*self.secret).clone()
    }

    /// The public key.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The parameter set.
    #[must_use]
    pub fn degree(&self) -> Degree {
        self.verifying.degree()
    }

    /// Signs `message` in the padded format. Takes about 0.3 ms for FALCON-1024
    /// once this thread has used the key; threads do not wait for each other.
    #[must_use]
    pub fn sign<R: CryptoRng + RngCore>(&self, rng: &mut R, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.degree().signature_len()];
        DECODED.with_borrow_mut(|keys| {
            self.decoded(keys).sign(
                rng,
                &DOMAIN_NONE,
                &HASH_ID_ORIGINAL_FALCON,
                message,
                &mut signature,
            );
        });
        signature
    }

    /// This thread's decoded copy, made now if it is missing.
    fn decoded<'a>(&self, keys: &'a mut Vec<Decoded>) -> &'a mut SigningKeyStandard {
        keys.retain(|(secret, _)| secret.strong_count() > 0);
        let own = |(secret, _): &Decoded| std::ptr::eq(secret.as_ptr(), Arc::as_ptr(&self.secret));
        let index = keys.iter().position(own).unwrap_or_else(|| {
            keys.truncate(DECODED_KEYS_PER_THREAD - 1);
            let decoded = decode(&self.secret).expect("the key was decoded when it was made");
            keys.insert(0, (Arc::downgrade(&self.secret), decoded));
            0
        });
        &mut keys[index].1
    }
}

// fn-dsa returns the decoded key by value: a copy may stay on the dead part of
// the stack until it is written over. The boxed one overwrites itself.
fn decode(bytes: &[u8]) -> Option<Box<SigningKeyStandard>> {
    SigningKeyStandard::decode(bytes).map(Box::new)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.verifying)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;

    const DEGREES: [Degree; 2] = [Degree::Falcon512, Degree::Falcon1024];

    #[test]
    fn a_signature_verifies_over_its_message_only() {
        for degree in DEGREES {
            let key = SigningKey::generate(degree, &mut OsRng);
            let signature = key.sign(&mut OsRng, b"message");
            assert_eq!(signature.len(), degree.signature_len());
            assert!(key.verifying_key().verify(b"message", &signature));
            assert!(!key.verifying_key().verify(b"massage", &signature));
            assert!(!key.verifying_key().verify(b"message", &signature[1..]));
            assert!(!key.verifying_key().verify(b"message", &[]));
        }
    }

    #[test]
    fn a_signature_with_one_bit_changed_is_refused() {
        let key = SigningKey::generate(Degree::Falcon512, &mut OsRng);
        let signature = key.sign(&mut OsRng, b"message");
        for index in [0, 1, 41, 300] {
            let mut changed = signature.clone();
            changed[index] ^= 1;
            assert!(!key.verifying_key().verify(b"message", &changed));
        }
    }

    #[test]
    fn keys_survive_serialisation() {
        for degree in DEGREES {
            let key = SigningKey::generate(degree, &mut OsRng);
            let again = SigningKey::from_bytes(&key.to_bytes()).unwrap();
            assert_eq!(again.verifying_key(), key.verifying_key());
            assert_eq!(again.degree(), degree);
            let signature = again.sign(&mut OsRng, b"m");
            let public = VerifyingKey::from_bytes(key.verifying_key().as_bytes()).unwrap();
            assert!(public.verify(b"m", &signature));
            assert_eq!(public.key_id(), key.verifying_key().key_id());
        }
    }

    #[test]
    fn malformed_keys_are_refused_by_their_length_or_their_bytes() {
        for length in [0, 1, 896, 897, 1281, 1793, 2305, 4096] {
            let bytes = vec![0xff; length];
            assert_eq!(
                VerifyingKey::from_bytes(&bytes),
                Err(FalconError::VerifyingKey(length))
            );
            assert_eq!(
                SigningKey::from_bytes(&bytes).unwrap_err(),
                FalconError::SigningKey(length)
            );
        }
    }

    #[test]
    fn debug_prints_the_public_keys_id_and_no_secret() {
        let key = SigningKey::generate(Degree::Falcon512, &mut OsRng);
        let id = key.verifying_key().key_id();
        assert_eq!(format!("{key:?}"), format!("SigningKey(FALCON-512 {id:?})"));
    }

    #[test]
    fn one_thread_can_sign_with_many_keys_in_turn() {
        let keys: Vec<_> = (0..4)
            .map(|_| SigningKey::generate(Degree::Falcon512, &mut OsRng))
            .collect();
        for key in keys.iter().chain(&keys) {
            let signature = key.sign(&mut OsRng, b"m");
            assert!(key.verifying_key().verify(b"m", &signature));
        }
    }

    #[test]
    fn threads_sign_with_one_key_side_by_side() {
        let key = SigningKey::generate(Degree::Falcon512, &mut OsRng);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let signature = key.sign(&mut OsRng, b"m");
                    assert!(key.verifying_key().verify(b"m", &signature));
                });
            }
        });
    }
}
