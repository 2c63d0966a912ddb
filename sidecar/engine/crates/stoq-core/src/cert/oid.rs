//! Object identifiers of hybrid certificates, and FALCON's algorithm identifiers.

use der::asn1::ObjectIdentifier;

use crate::falcon::Degree;

/// SubjectAltPublicKeyInfo (ITU-T X.509 (10/2019), section 9.8.2).
pub const SUBJECT_ALT_PUBLIC_KEY_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.72");

/// AltSignatureAlgorithm (ITU-T X.509 (10/2019), section 9.8.3).
pub const ALT_SIGNATURE_ALGORITHM: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.73");

/// AltSignatureValue (ITU-T X.509 (10/2019), section 9.8.4).
pub const ALT_SIGNATURE_VALUE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.74");

/// id-Ed25519 (RFC 8410, section 3).
pub const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// `falconpadded512` of the Open Quantum Safe project. Round-3 Falcon has no
/// OID of a standards body; OQS's are the ones in use.
pub const FALCON_PADDED_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.9999.3.16");

/// `falconpadded1024` of the Open Quantum Safe project.
pub const FALCON_PADDED_1024: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.9999.3.19");

/// The identifier of FALCON keys and signatures of a degree.
#[must_use]
pub fn falcon(degree: Degree) -> ObjectIdentifier {
    match degree {
        Degree::Falcon512 => FALCON_PADDED_512,
        Degree::Falcon1024 => FALCON_PADDED_1024,
    }
}
