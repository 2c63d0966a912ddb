//! Root certificates: a trust domain's authority.

use x509_cert::ext::pkix::KeyUsages;

use super::parse::Parsed;
use super::{CertificateError, extensions};
use crate::falcon::VerifyingKey;
use crate::key::ED25519_LEN;
use crate::spiffe::TrustDomain;

/// A trust domain's root, both of whose own signatures verify.
#[derive(Debug, Clone)]
pub struct RootCertificate {
    /// The trust domain it speaks for.
    pub trust_domain: TrustDomain,
    /// The first second it is valid in, as Unix time.
    pub not_before: u64,
    /// The last second it is valid in, as Unix time.
    pub not_after: u64,
    /// Its Ed25519 key.
    pub ed25519: [u8; ED25519_LEN],
    /// Its FALCON key.
    pub falcon: VerifyingKey,
    key_id: [u8; 20],
    parsed: Parsed,
}

impl RootCertificate {
    /// Reads a root and verifies both its signatures with its own keys.
    ///
    /// # Errors
    /// [`CertificateError`] naming what is wrong: among others a certificate
    /// that is no authority, is not signed by itself, or has no FALCON key.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = Parsed::from_der(der)?;
        if !parsed.constraints.ca || !parsed.usage.0.contains(KeyUsages::KeyCertSign) {
            return Err(CertificateError::Usage("a root"));
        }
        if parsed.issuer != parsed.subject {
            return Err(CertificateError::OtherIssuer);
        }
        parsed.signed_by(&parsed.ed25519, &parsed.falcon)?;
        Ok(Self {
            trust_domain: TrustDomain::parse_uri(&parsed.uri)?,
            not_before: parsed.validity.not_before,
            not_after: parsed.validity.not_after,
            ed25519: parsed.ed25519,
            falcon: parsed.falcon.clone(),
            key_id: extensions::key_identifier(&parsed.ed25519, &parsed.falcon),
            parsed,
        })
    }

    /// The encoded certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.parsed.der
    }

    /// The serial number, big-endian, without leading zeros.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.parsed.serial
    }

    /// The identifier that leaves name their issuer by: 160 bits of SHA-256
    /// over both keys.
    #[must_use]
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// The encoded subject name.
    pub(super) fn subject(&self) -> &[u8] {
        &self.parsed.subject
    }
}
