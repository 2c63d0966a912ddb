//! The composite CertificateVerify: Ed25519 and FALCON over the same bytes.
//!
//! `signature = Ed25519(m) ‖ FALCON-padded(m)`, 64 + 1280 (or 666) bytes, where
//! `m = label ‖ content` and content is that of RFC 8446, section 4.4.3 (64
//! spaces, the context string, a zero byte and the transcript hash). Both must
//! verify. The label keeps a half from passing for a signature made elsewhere
//! with the same key, such as an ordinary Ed25519 CertificateVerify.

use rand_core::{CryptoRng, RngCore};
use rustls::SignatureScheme;

use crate::falcon::{Degree, VerifyingKey};
use crate::key::{ED25519_LEN, ED25519_SIGNATURE_LEN, HybridKey, verify_ed25519};

/// `ed25519+falcon1024`, in the private-use block of RFC 8446, section 4.2.3.
pub const ED25519_FALCON_1024: SignatureScheme = SignatureScheme::Unknown(0xfe51);

/// `ed25519+falcon512`.
pub const ED25519_FALCON_512: SignatureScheme = SignatureScheme::Unknown(0xfe52);

/// What both halves sign before the content of RFC 8446, section 4.4.3.
pub const DOMAIN_LABEL: &[u8] = b"STOQ composite CertificateVerify v1\0";

/// The code point for a FALCON degree.
#[must_use]
pub fn scheme_of(degree: Degree) -> SignatureScheme {
    match degree {
        Degree::Falcon512 => ED25519_FALCON_512,
        Degree::Falcon1024 => ED25519_FALCON_1024,
    }
}

/// The scheme's name in logs and evidence.
#[must_use]
pub fn scheme_name(scheme: SignatureScheme) -> &'static str {
    match scheme {
        ED25519_FALCON_1024 => "Ed25519+FALCON-1024",
        ED25519_FALCON_512 => "Ed25519+FALCON-512",
        SignatureScheme::ED25519 => "Ed25519",
        _ => "unknown",
    }
}

/// Signs `content` with both keys.
pub(super) fn sign<R: CryptoRng + RngCore>(
    key: &HybridKey,
    rng: &mut R,
    content: &[u8],
) -> Vec<u8> {
    sign_bare(key, rng, &[DOMAIN_LABEL, content].concat())
}

/// Signs a message that begins with a label of its own.
pub(super) fn sign_bare<R: CryptoRng + RngCore>(
    key: &HybridKey,
    rng: &mut R,
    message: &[u8],
) -> Vec<u8> {
    let mut signature = key.sign_ed25519(message).to_vec();
    signature.extend(key.sign_falcon(rng, message));
    signature
}

/// Whether both halves of `signature` verify over `content`.
pub(super) fn verify(
    ed25519: &[u8; ED25519_LEN],
    falcon: &VerifyingKey,
    content: &[u8],
    signature: &[u8],
) -> bool {
    let message = [DOMAIN_LABEL, content].concat();
    verify_bare(ed25519, falcon, &message, signature)
}

/// Whether both halves of `signature` verify over a message with a label of its own.
pub(super) fn verify_bare(
    ed25519: &[u8; ED25519_LEN],
    falcon: &VerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Some((first, second)) = signature.split_at_checked(ED25519_SIGNATURE_LEN) else {
        return false;
    };
    verify_ed25519(ed25519, message, first) && falcon.verify(message, second)
}

#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::CryptoProfile;
    use rand_core::OsRng;

    fn key(profile: CryptoProfile) -> HybridKey {
        HybridKey::generate(profile, &mut OsRng)
    }

    fn holds(key: &HybridKey, content: &[u8], signature: &[u8]) -> bool {
        verify(
            &key.ed25519_public(),
            key.falcon_public(),
            content,
            signature,
        )
    }

    #[test]
    fn a_composite_signature_has_both_halves_in_order() {
        for (profile, length) in [
            (CryptoProfile::Hybrid1024, 64 + 1280),
            (CryptoProfile::Hybrid512, 64 + 666),
        ] {
            let key = key(profile);
            let signature = sign(&key, &mut OsRng, b"content");
            assert_eq!(signature.len(), length);
            assert!(holds(&key, b"content", &signature));
            assert!(!holds(&key, b"other", &signature));
        }
    }

    #[test]
    fn either_half_alone_is_refused() {
        let key = key(CryptoProfile::Hybrid512);
        let signature = sign(&key, &mut OsRng, b"content");
        assert!(!holds(&key, b"content", &signature[..64]));
        assert!(!holds(&key, b"content", &signature[64..]));
        assert!(!holds(&key, b"content", &signature[..63]));
        assert!(!holds(&key, b"content", &[]));
    }

    #[test]
    fn a_half_swapped_for_another_keys_is_refused() {
        let (one, two) = (key(CryptoProfile::Hybrid512), key(CryptoProfile::Hybrid512));
        let (first, second) = (
            sign(&one, &mut OsRng, b"content"),
            sign(&two, &mut OsRng, b"content"),
        );
        let swapped = [&first[..64], &second[64..]].concat();
        assert!(!holds(&one, b"content", &swapped));
        assert!(!holds(&two, b"content", &swapped));
        let reordered = [&first[64..], &first[..64]].concat();
        assert!(!holds(&one, b"content", &reordered));
    }

    #[test]
    fn a_signature_without_the_domain_label_is_refused() {
        let key = key(CryptoProfile::Hybrid512);
        let mut signature = key.sign_ed25519(b"content").to_vec();
        signature.extend(key.sign_falcon(&mut OsRng, b"content"));
        assert!(!holds(&key, b"content", &signature));
    }

    #[test]
    fn code_points_and_names_are_fixed() {
        assert_eq!(u16::from(ED25519_FALCON_1024), 0xfe51);
        assert_eq!(u16::from(ED25519_FALCON_512), 0xfe52);
        assert_eq!(
            scheme_name(scheme_of(Degree::Falcon1024)),
            "Ed25519+FALCON-1024"
        );
        assert_eq!(
            scheme_name(scheme_of(Degree::Falcon512)),
            "Ed25519+FALCON-512"
        );
        assert_eq!(scheme_name(SignatureScheme::ED25519), "Ed25519");
        assert_eq!(scheme_name(SignatureScheme::ED448), "unknown");
    }
}
