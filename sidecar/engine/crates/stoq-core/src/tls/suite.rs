//! The packet cipher, by the library that is fastest on this processor.
//!
//! AES-GCM is most of what a relayed byte costs. aws-lc has it for AVX-512 and, below
//! that, only for AES-NI; ring has it for VAES on 256-bit registers, which is what AMD
//! before Zen 4 and Intel's cores without AVX-512 offer (docs/decisions/0010). On the
//! wire the suites are the same. Key exchange and signatures are aws-lc's everywhere.

use rustls::SupportedCipherSuite;
use rustls::crypto::{aws_lc_rs, ring};

use super::context::Aead;

/// The suite of this AEAD.
pub(super) fn suite(aead: Aead) -> SupportedCipherSuite {
    if is_ring_faster() {
        of_ring(aead)
    } else {
        of_aws_lc(aead)
    }
}

fn of_aws_lc(aead: Aead) -> SupportedCipherSuite {
    match aead {
        Aead::Aes256Gcm => aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
        Aead::Aes128Gcm => aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    }
}

fn of_ring(aead: Aead) -> SupportedCipherSuite {
    match aead {
        Aead::Aes256Gcm => ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        Aead::Aes128Gcm => ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    }
}

/// Whether the processor has VAES, and not the AVX-512 that aws-lc asks for
/// (`crypto_gcm_avx512_enabled`).
#[cfg(target_arch = "x86_64")]
fn is_ring_faster() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && !(is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl"))
}

/// On other processors both have the same code.
#[cfg(not(target_arch = "x86_64"))]
fn is_ring_faster() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::Side;
    use rustls::quic::{Keys, Version};

    /// Keys that both sides derive from the same secret.
    fn keys(suite: SupportedCipherSuite, side: Side) -> Keys {
        let SupportedCipherSuite::Tls13(tls13) = suite;
        let quic = tls13.quic_suite().expect("the suite can protect packets");
        quic.keys(b"the secret", side, Version::V1)
    }

    #[test]
    fn what_one_library_seals_the_other_opens() {
        for aead in [Aead::Aes256Gcm, Aead::Aes128Gcm] {
            let sealing = keys(of_ring(aead), Side::Client);
            let opening = keys(of_aws_lc(aead), Side::Server);
            let mut packet = *b"a relayed byte or two";
            let tag = sealing
                .local
                .packet
                .encrypt_in_place(7, b"header", &mut packet)
                .expect("encryption does not fail");
            let mut sealed = [&packet, tag.as_ref()].concat();
            let opened = opening
                .remote
                .packet
                .decrypt_in_place(7, b"header", &mut sealed)
                .expect("the other library opens it");
            assert_eq!(opened, b"a relayed byte or two");
        }
    }

    #[test]
    fn the_suite_does_not_depend_on_the_library() {
        for aead in [Aead::Aes256Gcm, Aead::Aes128Gcm] {
            assert_eq!(of_ring(aead).suite(), of_aws_lc(aead).suite());
            assert_eq!(suite(aead).suite(), of_aws_lc(aead).suite());
        }
    }
}
