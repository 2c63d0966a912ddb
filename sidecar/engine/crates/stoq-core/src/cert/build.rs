//! Putting a certificate together and signing it twice.

use std::time::Duration;

use der::asn1::BitString;
use der::{DateTime, Encode, Result, Sequence, Tag};
use rand_core::{CryptoRng, RngCore};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use super::{extensions, oid, pretbs};
use crate::key::HybridKey;

/// TBSCertificate (RFC 5280, section 4.1), of the fields that we fill.
#[derive(Sequence)]
pub(super) struct Tbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// Certificate (RFC 5280, section 4.1).
#[derive(Sequence)]
struct Certificate {
    tbs_certificate: Tbs,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// What differs from one certificate to the next.
pub(super) struct Contents<'a> {
    pub(super) serial: &'a [u8],
    pub(super) issuer: Name,
    pub(super) subject: Name,
    pub(super) validity: super::Validity,
    pub(super) key: SubjectPublicKeyInfoOwned,
    pub(super) extensions: Vec<Extension>,
}

impl Tbs {
    pub(super) fn new(contents: Contents<'_>) -> Result<Self> {
        if super::plain_serial(contents.serial).is_empty() {
            return Err(Tag::Integer.value_error().into());
        }
        Ok(Self {
            version: Version::V3,
            serial_number: SerialNumber::new(contents.serial)?,
            signature: extensions::algorithm(oid::ED25519),
            issuer: contents.issuer,
            validity: Validity::new(
                time(contents.validity.not_before)?,
                time(contents.validity.not_after)?,
            ),
            subject: contents.subject,
            subject_public_key_info: contents.key,
            extensions: contents.extensions,
        })
    }

    /// Signs with both keys: FALCON over the PreTBSCertificate first, then
    /// Ed25519 over everything, the FALCON signature included.
    pub(super) fn sign<R: CryptoRng + RngCore>(
        mut self,
        key: &HybridKey,
        rng: &mut R,
    ) -> Result<Vec<u8>> {
        let covered = pretbs::pre_tbs_certificate(&self.to_der()?)?;
        let falcon = key.sign_falcon(rng, &covered);
        self.extensions.push(extensions::alt_signature(&falcon)?);
        let ed25519 = key.sign_ed25519(&self.to_der()?);
        Certificate {
            signature_algorithm: self.signature.clone(),
            signature: BitString::from_bytes(&ed25519)?,
            tbs_certificate: self,
        }
        .to_der()
    }
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280, section 4.1.2.5).
fn time(unix_seconds: u64) -> Result<Time> {
    DateTime::from_unix_duration(Duration::from_secs(unix_seconds)).map(Time::from)
}
