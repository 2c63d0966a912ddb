//! Certificate requests: PKCS#10 with two proofs of possession.
//!
//! The FALCON parts are attributes of the same OIDs as the extensions of a
//! certificate (as Bouncy Castle writes them): the FALCON key signs the
//! CertificationRequestInfo without its altSignatureValue attribute, then the
//! Ed25519 key signs all of it (RFC 2986, section 4).

use der::asn1::{Any, BitString, ObjectIdentifier, SetOfVec};
use der::{Decode, Encode};
use rand_core::{CryptoRng, RngCore};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};

use super::{CertificateError, MAX_DER_LEN, extensions, oid, parse, pretbs};
use crate::falcon::VerifyingKey;
use crate::key::{ED25519_LEN, HybridKey, verify_ed25519};

/// A request whose sender proved to hold both private keys. It names nobody:
/// the authority decides whom it certifies by attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    ed25519: [u8; ED25519_LEN],
    falcon: VerifyingKey,
}

/// Makes a request for a key.
pub fn build<R: CryptoRng + RngCore>(key: &HybridKey, rng: &mut R) -> Vec<u8> {
    try_build(key, rng).expect("keys and signatures of fixed lengths always encode")
}

fn try_build<R: CryptoRng + RngCore>(key: &HybridKey, rng: &mut R) -> der::Result<Vec<u8>> {
    let algorithm = extensions::algorithm(oid::falcon(key.falcon_public().degree()));
    let mut attributes = vec![
        attribute(
            oid::SUBJECT_ALT_PUBLIC_KEY_INFO,
            &extensions::falcon_spki(key.falcon_public())?,
        )?,
        attribute(oid::ALT_SIGNATURE_ALGORITHM, &algorithm)?,
    ];
    let mut info = CertReqInfo {
        version: Version::V1,
        subject: Name::default(),
        public_key: extensions::ed25519_spki(&key.ed25519_public())?,
        attributes: Attributes::try_from(attributes.clone())?,
    };
    let falcon = key.sign_falcon(rng, &info.to_der()?);
    attributes.push(attribute(
        oid::ALT_SIGNATURE_VALUE,
        &BitString::from_bytes(&falcon)?,
    )?);
    info.attributes = Attributes::try_from(attributes)?;
    CertReq {
        algorithm: extensions::algorithm(oid::ED25519),
        signature: BitString::from_bytes(&key.sign_ed25519(&info.to_der()?))?,
        info,
    }
    .to_der()
}

fn attribute(oid: ObjectIdentifier, value: &impl Encode) -> der::Result<Attribute> {
    let values = SetOfVec::try_from([Any::from_der(&value.to_der()?)?])?;
    Ok(Attribute { oid, values })
}

impl Csr {
    /// Reads a request and verifies both proofs of possession.
    ///
    /// # Errors
    /// [`CertificateError`] naming the part that is missing, malformed or does
    /// not verify.
    pub fn parse_and_verify(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_DER_LEN {
            return Err(CertificateError::TooLarge(der.len()));
        }
        let request = CertReq::from_der(der)?;
        parse::is_ed25519("signature algorithm", &request.algorithm)?;
        let attributes = &request.info.attributes;
        let key = need(
            attributes,
            oid::SUBJECT_ALT_PUBLIC_KEY_INFO,
            "SubjectAltPublicKeyInfo (2.5.29.72)",
        )?;
        let algorithm = need(
            attributes,
            oid::ALT_SIGNATURE_ALGORITHM,
            "AltSignatureAlgorithm (2.5.29.73)",
        )?;
        let signature = need(
            attributes,
            oid::ALT_SIGNATURE_VALUE,
            "AltSignatureValue (2.5.29.74)",
        )?;
        let csr = Self {
            ed25519: parse::ed25519_key(&request.info.public_key)?,
            falcon: parse::falcon_key(&key.decode_as::<SubjectPublicKeyInfoOwned>()?)?,
        };
        let algorithm = algorithm.decode_as::<AlgorithmIdentifierOwned>()?;
        csr.verify(
            pretbs::signed_content(der)?,
            &algorithm,
            parse::bits(&request.signature),
            parse::bits(&signature.decode_as::<BitString>()?),
        )?;
        Ok(csr)
    }

    fn verify(
        &self,
        info: &[u8],
        algorithm: &AlgorithmIdentifierOwned,
        ed25519: &[u8],
        falcon: &[u8],
    ) -> Result<(), CertificateError> {
        if !verify_ed25519(&self.ed25519, info, ed25519) {
            return Err(CertificateError::Ed25519Signature);
        }
        if parse::falcon_degree(algorithm)? != self.falcon.degree() {
            return Err(CertificateError::Algorithm {
                field: "AltSignatureAlgorithm",
                found: algorithm.oid,
                expected: self.falcon.degree().name(),
            });
        }
        if !self.falcon.verify(&pretbs::pre_request_info(info)?, falcon) {
            return Err(CertificateError::FalconSignature);
        }
        Ok(())
    }

    /// The requester's Ed25519 key.
    #[must_use]
    pub fn ed25519(&self) -> &[u8; ED25519_LEN] {
        &self.ed25519
    }

    /// The requester's FALCON key.
    #[must_use]
    pub fn falcon(&self) -> &VerifyingKey {
        &self.falcon
    }
}

/// The single value of the single attribute of an OID.
fn need<'a>(
    attributes: &'a Attributes,
    id: ObjectIdentifier,
    name: &'static str,
) -> Result<&'a Any, CertificateError> {
    let mut of_id = attributes.iter().filter(|attribute| attribute.oid == id);
    let attribute = of_id.next().ok_or(CertificateError::Missing(name))?;
    match (attribute.values.as_slice(), of_id.next()) {
        ([value], None) => Ok(value),
        _ => Err(CertificateError::Duplicate(id)),
    }
}
