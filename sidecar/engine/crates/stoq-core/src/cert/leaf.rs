//! Leaf certificates: the X.509-SVID of one workload.

use x509_cert::ext::pkix::KeyUsages;

use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};

use super::parse::Parsed;
use super::{CertificateError, RootCertificate};
use crate::falcon::VerifyingKey;
use crate::key::ED25519_LEN;
use crate::spiffe::SpiffeId;

/// A workload's certificate, taken apart. Parsing verifies no signature:
/// [`Leaf::verify`] does.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Whom it names.
    pub spiffe: SpiffeId,
    /// The serial number, big-endian, without leading zeros.
    pub serial: Vec<u8>,
    /// The first second it is valid in, as Unix time.
    pub not_before: u64,
    /// The last second it is valid in, as Unix time.
    pub not_after: u64,
    /// The subject's Ed25519 key.
    pub ed25519: [u8; ED25519_LEN],
    /// The subject's FALCON key.
    pub falcon: VerifyingKey,
    parsed: Parsed,
}

impl Leaf {
    /// Takes a leaf apart (RFC 5280, section 4; SPIFFE X.509-SVID, sections 2 and 4).
    ///
    /// # Errors
    /// [`CertificateError`] naming the field that breaks a rule. A certificate
    /// without FALCON parts is refused as [`CertificateError::Missing`].
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = Parsed::from_der(der)?;
        let usage = parsed.usage.0;
        if parsed.constraints.ca
            || !usage.contains(KeyUsages::DigitalSignature)
            || usage.contains(KeyUsages::KeyCertSign)
            || usage.contains(KeyUsages::CRLSign)
        {
            return Err(CertificateError::Usage("a leaf"));
        }
        if let Some(purposes) = &parsed.purposes {
            let both = [ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH];
            if !both.iter().all(|purpose| purposes.0.contains(purpose)) {
                return Err(CertificateError::Usage("client and server authentication"));
            }
        }
        Ok(Self {
            spiffe: SpiffeId::parse(&parsed.uri)?,
            serial: parsed.serial.clone(),
            not_before: parsed.validity.not_before,
            not_after: parsed.validity.not_after,
            ed25519: parsed.ed25519,
            falcon: parsed.falcon.clone(),
            parsed,
        })
    }

    /// The encoded certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.parsed.der
    }

    /// Whether `root` is the one this leaf says it was issued by.
    #[must_use]
    pub fn names_issuer(&self, root: &RootCertificate) -> bool {
        self.parsed.issuer == root.subject()
            && self.parsed.issuer_id.as_deref() == Some(root.key_id())
    }

    /// Verifies both of the issuer's signatures.
    ///
    /// # Errors
    /// [`CertificateError::OtherIssuer`], [`CertificateError::Ed25519Signature`],
    /// [`CertificateError::FalconSignature`] or, where the signature claims
    /// another FALCON degree than the root's key has, [`CertificateError::Algorithm`].
    pub fn verify(&self, root: &RootCertificate) -> Result<(), CertificateError> {
        if !self.names_issuer(root) {
            return Err(CertificateError::OtherIssuer);
        }
        self.parsed.signed_by(&root.ed25519, &root.falcon)
    }
}
