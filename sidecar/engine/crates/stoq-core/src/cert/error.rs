//! What can be wrong with a certificate or a certificate request.

use der::asn1::ObjectIdentifier;

use super::MAX_DER_LEN;
use crate::falcon::FalconError;
use crate::spiffe::SpiffeError;

/// Why a certificate or a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than [`MAX_DER_LEN`].
    #[error("it has {0} bytes: at most {MAX_DER_LEN} are read")]
    TooLarge(usize),
    /// Not DER, or not of this structure.
    #[error("it is no valid DER: {0}")]
    Der(#[from] der::Error),
    /// DER of this structure would be written in another way.
    #[error("its {0} is not written as DER requires")]
    Lax(&'static str),
    /// A serial number that is not positive, or longer than 20 bytes.
    #[error("its serial number is not positive, or longer than 20 bytes")]
    Serial,
    /// Not version 3.
    #[error("it is not an X.509 version 3 certificate")]
    Version,
    /// Something that must be there is not. For the three alternative
    /// extensions this is a classical-only or a stripped certificate.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// An extension or attribute that may come once came twice.
    #[error("it has extension {0} twice")]
    Duplicate(ObjectIdentifier),
    /// A critical extension that nobody here understands (RFC 5280, 4.2).
    #[error("it has the critical extension {0}, which is not known here")]
    UnknownCritical(ObjectIdentifier),
    /// A validity that ends before it begins.
    #[error("its validity ends before it begins")]
    Validity,
    /// An algorithm other than the one required, or one with parameters.
    #[error("its {field} is {found}, not {expected} without parameters")]
    Algorithm {
        /// The field at fault.
        field: &'static str,
        /// What it says.
        found: ObjectIdentifier,
        /// What it must say.
        expected: &'static str,
    },
    /// An Ed25519 key or signature of the wrong length.
    #[error("its {0} has the wrong length")]
    Length(&'static str),
    /// The number of URI names is not one (SPIFFE X.509-SVID, section 2).
    #[error("it has {0} URI names: a SPIFFE certificate has exactly one")]
    UriNames(usize),
    /// A NUL byte in the URI name.
    #[error("its URI name contains a NUL byte")]
    Nul,
    /// The URI name is no SPIFFE id of this mesh.
    #[error("its URI name is refused: {0}")]
    Spiffe(#[from] SpiffeError),
    /// The FALCON key is malformed.
    #[error("its FALCON key is refused: {0}")]
    Falcon(#[from] FalconError),
    /// A leaf that may sign certificates, or a root that may not.
    #[error("its basic constraints or key usage do not fit {0}")]
    Usage(&'static str),
    /// Signed by another issuer than the one it is checked against.
    #[error("it was issued by another authority")]
    OtherIssuer,
    /// The Ed25519 signature does not verify.
    #[error("its Ed25519 signature does not verify")]
    Ed25519Signature,
    /// The FALCON signature does not verify.
    #[error("its FALCON signature (AltSignatureValue) does not verify")]
    FalconSignature,
    /// The key does not belong to the certificate.
    #[error("the key does not belong to it")]
    OtherKey,
}
