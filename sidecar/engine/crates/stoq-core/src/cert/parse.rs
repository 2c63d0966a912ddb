//! Reading what roots and leaves have in common.

use std::collections::HashSet;

use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
};
use der::asn1::{BitString, ObjectIdentifier};
use der::{Decode, Encode};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::serial_number::SerialNumber;
use x509_cert::{Certificate, Version};

use super::{CertificateError, MAX_DER_LEN, Validity, oid, pretbs, san};
use crate::falcon::{Degree, VerifyingKey};
use crate::key::{ED25519_LEN, ED25519_SIGNATURE_LEN, verify_ed25519};

/// Bytes of the longest serial number, a leading zero included.
const MAX_SERIAL_LEN: usize = 20;

/// A certificate taken apart; no signature is verified yet.
#[derive(Debug, Clone)]
pub(super) struct Parsed {
    pub(super) der: Vec<u8>,
    pub(super) uri: String,
    pub(super) serial: Vec<u8>,
    pub(super) validity: Validity,
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) issuer_id: Option<Vec<u8>>,
    pub(super) ed25519: [u8; ED25519_LEN],
    pub(super) falcon: VerifyingKey,
    pub(super) constraints: BasicConstraints,
    pub(super) usage: KeyUsage,
    pub(super) purposes: Option<ExtendedKeyUsage>,
    alt_algorithm: Degree,
    alt_signature: Vec<u8>,
    signature: [u8; ED25519_SIGNATURE_LEN],
}

impl Parsed {
    pub(super) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_DER_LEN {
            return Err(CertificateError::TooLarge(der.len()));
        }
        let certificate: Certificate = strict(der, "structure")?;
        let tbs = certificate.tbs_certificate();
        if tbs.version() != Version::V3 {
            return Err(CertificateError::Version);
        }
        is_ed25519("signature algorithm", certificate.signature_algorithm())?;
        is_ed25519("signature field", tbs.signature())?;
        let found = Extensions::find(&certificate)?;
        Ok(Self {
            uri: san::only_uri(found.need(ID_CE_SUBJECT_ALT_NAME, "SubjectAltName")?)?,
            serial: serial(tbs.serial_number())?,
            validity: validity(tbs.validity())?,
            issuer: tbs.issuer().to_der()?,
            subject: tbs.subject().to_der()?,
            issuer_id: found
                .read::<AuthorityKeyIdentifier>(
                    ID_CE_AUTHORITY_KEY_IDENTIFIER,
                    "AuthorityKeyIdentifier",
                )?
                .and_then(|id| id.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            ed25519: ed25519_key(tbs.subject_public_key_info())?,
            falcon: falcon_key(&SubjectPublicKeyInfoOwned::from_der(found.need(
                oid::SUBJECT_ALT_PUBLIC_KEY_INFO,
                "SubjectAltPublicKeyInfo (2.5.29.72)",
            )?)?)?,
            constraints: found
                .read(ID_CE_BASIC_CONSTRAINTS, "BasicConstraints")?
                .unwrap_or(NO_AUTHORITY),
            usage: strict(found.need(ID_CE_KEY_USAGE, "KeyUsage")?, "KeyUsage")?,
            purposes: found.read(ID_CE_EXT_KEY_USAGE, "ExtendedKeyUsage")?,
            alt_algorithm: falcon_degree(&AlgorithmIdentifierOwned::from_der(found.need(
                oid::ALT_SIGNATURE_ALGORITHM,
                "AltSignatureAlgorithm (2.5.29.73)",
            )?)?)?,
            alt_signature: bits(&BitString::from_der(
                found.need(oid::ALT_SIGNATURE_VALUE, "AltSignatureValue (2.5.29.74)")?,
            )?)
            .to_vec(),
            signature: bits(certificate.signature())
                .try_into()
                .map_err(|_| CertificateError::Length("Ed25519 signature"))?,
            der: der.to_vec(),
        })
    }

    /// Whether the holder of both keys signed this certificate with both.
    pub(super) fn signed_by(
        &self,
        ed25519: &[u8; ED25519_LEN],
        falcon: &VerifyingKey,
    ) -> Result<(), CertificateError> {
        let tbs = pretbs::signed_content(&self.der)?;
        if !verify_ed25519(ed25519, tbs, &self.signature) {
            return Err(CertificateError::Ed25519Signature);
        }
        if self.alt_algorithm != falcon.degree() {
            return Err(CertificateError::Algorithm {
                field: "AltSignatureAlgorithm",
                found: oid::falcon(self.alt_algorithm),
                expected: falcon.degree().name(),
            });
        }
        if !falcon.verify(&pretbs::pre_tbs_certificate(tbs)?, &self.alt_signature) {
            return Err(CertificateError::FalconSignature);
        }
        Ok(())
    }
}

/// Decodes DER, and refuses what was written in another way than DER has it, such as a
/// default written out or bits set where a BIT STRING has none (X.690, clause 11).
fn strict<'a, T>(der: &'a [u8], what: &'static str) -> Result<T, CertificateError>
where
    T: Decode<'a, Error = der::Error> + Encode,
{
    let value = T::from_der(der)?;
    match value.to_der()? == der {
        true => Ok(value),
        false => Err(CertificateError::Lax(what)),
    }
}

/// A serial number's magnitude: positive and of at most 20 bytes (RFC 5280, 4.1.2.2).
fn serial(number: &SerialNumber) -> Result<Vec<u8>, CertificateError> {
    let bytes = number.as_bytes();
    let plain = super::plain_serial(bytes);
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    if plain.is_empty() || negative || bytes.len() > MAX_SERIAL_LEN {
        return Err(CertificateError::Serial);
    }
    Ok(plain.to_vec())
}

fn validity(validity: &x509_cert::time::Validity) -> Result<Validity, CertificateError> {
    let validity = Validity {
        not_before: validity.not_before.to_unix_duration().as_secs(),
        not_after: validity.not_after.to_unix_duration().as_secs(),
    };
    if validity.not_after < validity.not_before {
        return Err(CertificateError::Validity);
    }
    Ok(validity)
}

/// What a certificate without basic constraints is (RFC 5280, 4.2.1.9).
const NO_AUTHORITY: BasicConstraints = BasicConstraints {
    ca: false,
    path_len_constraint: None,
};

/// A certificate's extensions: none twice, none critical and unknown.
struct Extensions<'a>(Vec<(ObjectIdentifier, &'a [u8])>);

impl<'a> Extensions<'a> {
    fn find(certificate: &'a Certificate) -> Result<Self, CertificateError> {
        let all = certificate.tbs_certificate().extensions();
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for extension in all.into_iter().flatten() {
            let id = extension.extn_id;
            if !seen.insert(id) {
                return Err(CertificateError::Duplicate(id));
            }
            if extension.critical && !KNOWN.contains(&id) {
                return Err(CertificateError::UnknownCritical(id));
            }
            found.push((id, extension.extn_value.as_bytes()));
        }
        Ok(Self(found))
    }

    fn get(&self, id: ObjectIdentifier) -> Option<&'a [u8]> {
        self.0
            .iter()
            .find_map(|(found, value)| (*found == id).then_some(*value))
    }

    fn need(&self, id: ObjectIdentifier, name: &'static str) -> Result<&'a [u8], CertificateError> {
        self.get(id).ok_or(CertificateError::Missing(name))
    }

    fn read<T: Decode<'a, Error = der::Error> + Encode>(
        &self,
        id: ObjectIdentifier,
        name: &'static str,
    ) -> Result<Option<T>, CertificateError> {
        self.get(id).map(|value| strict(value, name)).transpose()
    }
}

/// Extensions that are acted upon, so that they may be critical.
const KNOWN: [ObjectIdentifier; 7] = [
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    oid::SUBJECT_ALT_PUBLIC_KEY_INFO,
    oid::ALT_SIGNATURE_ALGORITHM,
    oid::ALT_SIGNATURE_VALUE,
];

/// The key of an Ed25519 SubjectPublicKeyInfo.
pub(super) fn ed25519_key(
    spki: &SubjectPublicKeyInfoOwned,
) -> Result<[u8; ED25519_LEN], CertificateError> {
    is_ed25519("public key algorithm", &spki.algorithm)?;
    bits(&spki.subject_public_key)
        .try_into()
        .map_err(|_| CertificateError::Length("Ed25519 public key"))
}

/// The key of a FALCON SubjectPublicKeyInfo; algorithm and key must agree.
pub(super) fn falcon_key(
    spki: &SubjectPublicKeyInfoOwned,
) -> Result<VerifyingKey, CertificateError> {
    let key = VerifyingKey::from_bytes(bits(&spki.subject_public_key))?;
    if spki.algorithm != super::extensions::algorithm(oid::falcon(key.degree())) {
        return Err(CertificateError::Algorithm {
            field: "alternative public key algorithm",
            found: spki.algorithm.oid,
            expected: key.degree().name(),
        });
    }
    Ok(key)
}

/// The degree that an AltSignatureAlgorithm names, without parameters.
pub(super) fn falcon_degree(
    algorithm: &AlgorithmIdentifierOwned,
) -> Result<Degree, CertificateError> {
    let named = |degree: &Degree| *algorithm == super::extensions::algorithm(oid::falcon(*degree));
    [Degree::Falcon1024, Degree::Falcon512]
        .into_iter()
        .find(named)
        .ok_or(CertificateError::Algorithm {
            field: "AltSignatureAlgorithm",
            found: algorithm.oid,
            expected: "FALCON-1024 or FALCON-512",
        })
}

/// Fails unless the algorithm is Ed25519 with absent parameters (RFC 8410, 3).
pub(super) fn is_ed25519(
    field: &'static str,
    algorithm: &AlgorithmIdentifierOwned,
) -> Result<(), CertificateError> {
    if *algorithm == super::extensions::algorithm(oid::ED25519) {
        return Ok(());
    }
    Err(CertificateError::Algorithm {
        field,
        found: algorithm.oid,
        expected: "Ed25519",
    })
}

/// The bytes of a BIT STRING; none if it does not end at a byte, which no key
/// or signature does.
pub(super) fn bits(string: &BitString) -> &[u8] {
    string.as_bytes().unwrap_or_default()
}
