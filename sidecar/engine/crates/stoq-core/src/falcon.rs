//! FALCON signatures: round 3 of NIST's competition, padded format.
//!
//! This is `HASH_ID_ORIGINAL_FALCON` of fn-dsa 0.3.0, without a domain: the
//! scheme of the Falcon specification v1.2 (2020-10-01), which PQClean calls
//! `falconpadded512` and `falconpadded1024`. It is not FIPS 206, which is not
//! published (docs/decisions/0003-falcon.md).

mod sign;
mod verify;

pub use sign::SigningKey;
pub use verify::{KeyId, VerifyingKey};

/// The FALCON parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Degree {
    /// NIST level 1: keys of 897 bytes, signatures of 666.
    Falcon512,
    /// NIST level 5: keys of 1793 bytes, signatures of 1280.
    Falcon1024,
}

/// Why bytes are not a FALCON key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FalconError {
    /// Not a public key of either degree.
    #[error(
        "{0} bytes are no FALCON public key: expected a well-formed key of 897 bytes (FALCON-512) or 1793 (FALCON-1024)"
    )]
    VerifyingKey(usize),
    /// Not a private key of either degree.
    #[error(
        "{0} bytes are no FALCON private key: expected a well-formed key of 1281 bytes (FALCON-512) or 2305 (FALCON-1024)"
    )]
    SigningKey(usize),
}

impl Degree {
    /// The logarithm of the degree, as fn-dsa counts.
    pub(crate) fn logn(self) -> u32 {
        match self {
            Self::Falcon512 => fn_dsa::FN_DSA_LOGN_512,
            Self::Falcon1024 => fn_dsa::FN_DSA_LOGN_1024,
        }
    }

    /// Bytes of an encoded public key.
    #[must_use]
    pub fn verifying_key_len(self) -> usize {
        fn_dsa::vrfy_key_size(self.logn())
    }

    /// Bytes of an encoded private key.
    #[must_use]
    pub fn signing_key_len(self) -> usize {
        fn_dsa::sign_key_size(self.logn())
    }

    /// Bytes of a signature; the padded format has one length.
    #[must_use]
    pub fn signature_len(self) -> usize {
        fn_dsa::signature_size(self.logn())
    }

    /// The name in logs and evidence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Falcon512 => "FALCON-512",
            Self::Falcon1024 => "FALCON-1024",
        }
    }

    /// The degree whose encoded keys have length `len`, by `of`.
    fn with_len(len: usize, of: fn(Self) -> usize) -> Option<Self> {
        [Self::Falcon512, Self::Falcon1024]
            .into_iter()
            .find(|degree| of(*degree) == len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_specification() {
        let lengths = |degree: Degree| {
            (
                degree.verifying_key_len(),
                degree.signing_key_len(),
                degree.signature_len(),
            )
        };
        assert_eq!(lengths(Degree::Falcon512), (897, 1281, 666));
        assert_eq!(lengths(Degree::Falcon1024), (1793, 2305, 1280));
    }

    #[test]
    fn names_are_what_the_evidence_prints() {
        assert_eq!(Degree::Falcon512.name(), "FALCON-512");
        assert_eq!(Degree::Falcon1024.name(), "FALCON-1024");
    }
}
