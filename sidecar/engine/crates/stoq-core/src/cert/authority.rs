//! The certificate authority: a root and the key that signs leaves with it.

use std::str::FromStr;

use der::Decode;
use rand_core::{CryptoRng, RngCore};
use x509_cert::name::Name;

use super::build::{Contents, Tbs};
use super::{CertificateError, Csr, RootCertificate, extensions};
use crate::key::HybridKey;
use crate::profile::CryptoProfile;
use crate::spiffe::{SpiffeId, TrustDomain};

/// The subject of a root. Roots are told apart by their key identifier; the
/// trust domain is in the URI name.
const ROOT_NAME: &str = "CN=STOQ mesh root,O=STOQ";

/// The first and last second a certificate is valid in, as Unix time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second, inclusive.
    pub not_before: u64,
    /// Last second, inclusive.
    pub not_after: u64,
}

/// Why an authority does not issue a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The id belongs to another trust domain.
    #[error("{id} is not in the authority's trust domain {trust_domain}")]
    TrustDomain {
        /// The id asked for.
        id: SpiffeId,
        /// The authority's domain.
        trust_domain: TrustDomain,
    },
    /// The certificate would end before it begins.
    #[error("a certificate from {} to {} would never be valid", .0.not_before, .0.not_after)]
    Empty(Validity),
    /// The certificate would outlive the root, or begin before it.
    #[error(
        "a certificate from {} to {} exceeds the root's validity from {} to {}",
        asked.not_before, asked.not_after, root.not_before, root.not_after
    )]
    BeyondRoot {
        /// What was asked for.
        asked: Validity,
        /// The root's own validity.
        root: Validity,
    },
    /// The encoder refused a value: a serial number that is zero or longer
    /// than 20 bytes, or a date after the year 9999.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}

/// A root and its key.
#[derive(Debug, Clone)]
pub struct CertificateAuthority {
    key: HybridKey,
    root: RootCertificate,
    name: Name,
}

impl CertificateAuthority {
    /// An authority from a key and its root certificate, one's own or a user's.
    ///
    /// # Errors
    /// [`CertificateError`] if the root is refused, or
    /// [`CertificateError::OtherKey`] if the key is not the root's.
    pub fn from_parts(key: HybridKey, root_der: &[u8]) -> Result<Self, CertificateError> {
        let root = RootCertificate::parse(root_der)?;
        if root.ed25519 != key.ed25519_public() || root.falcon != *key.falcon_public() {
            return Err(CertificateError::OtherKey);
        }
        let name = Name::from_der(root.subject())?;
        Ok(Self { key, root, name })
    }

    /// Makes a key and a root for a trust domain.
    ///
    /// # Errors
    /// [`IssueError::Empty`], or [`IssueError::Encoding`] for a serial number
    /// or a date that X.509 cannot carry.
    pub fn create<R: CryptoRng + RngCore>(
        trust_domain: &TrustDomain,
        profile: CryptoProfile,
        validity: Validity,
        serial: &[u8],
        rng: &mut R,
    ) -> Result<Self, IssueError> {
        if validity.not_after < validity.not_before {
            return Err(IssueError::Empty(validity));
        }
        let key = HybridKey::generate(profile, rng);
        let id = extensions::own_identifier(&key);
        let degree = key.falcon_public().degree();
        let name = Name::from_str(ROOT_NAME)?;
        let mut all =
            extensions::common(&trust_domain.uri(), key.falcon_public(), degree, &id, false)?;
        all.extend(extensions::root(&id)?);
        let der = Tbs::new(Contents {
            serial,
            issuer: name.clone(),
            subject: name,
            validity,
            key: extensions::ed25519_spki(&key.ed25519_public())?,
            extensions: all,
        })?
        .sign(&key, rng)?;
        Ok(Self::from_parts(key, &der).expect("a root made here is accepted here"))
    }

    /// Signs a leaf for a request whose proofs of possession were verified.
    /// The caller has attested that the requester is `id`.
    ///
    /// # Errors
    /// [`IssueError`] naming the value at fault.
    pub fn issue<R: CryptoRng + RngCore>(
        &self,
        csr: &Csr,
        id: &SpiffeId,
        validity: Validity,
        serial: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, IssueError> {
        self.check(id, validity)?;
        let mut all = extensions::common(
            id.as_str(),
            csr.falcon(),
            self.root.falcon.degree(),
            &extensions::own_identifier(&self.key),
            true,
        )?;
        all.extend(extensions::leaf()?);
        let tbs = Tbs::new(Contents {
            serial,
            issuer: self.name.clone(),
            subject: Name::default(),
            validity,
            key: extensions::ed25519_spki(csr.ed25519())?,
            extensions: all,
        })?;
        Ok(tbs.sign(&self.key, rng)?)
    }

    fn check(&self, id: &SpiffeId, asked: Validity) -> Result<(), IssueError> {
        if *id.trust_domain() != self.root.trust_domain {
            return Err(IssueError::TrustDomain {
                id: id.clone(),
                trust_domain: self.root.trust_domain.clone(),
            });
        }
        if asked.not_after < asked.not_before {
            return Err(IssueError::Empty(asked));
        }
        let root = Validity {
            not_before: self.root.not_before,
            not_after: self.root.not_after,
        };
        if asked.not_before < root.not_before || asked.not_after > root.not_after {
            return Err(IssueError::BeyondRoot { asked, root });
        }
        Ok(())
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &RootCertificate {
        &self.root
    }

    /// The root's key, to be stored. Handle with care.
    #[must_use]
    pub fn key(&self) -> &HybridKey {
        &self.key
    }
}
