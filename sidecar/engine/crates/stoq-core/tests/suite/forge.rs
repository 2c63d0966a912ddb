//! Certificates that no honest authority issues.
//!
//! Written from RFC 5280 and ITU-T X.509 with structures of its own, so it is
//! also a second opinion on which bytes the two signatures cover.

use const_oid::ObjectIdentifier;
use der::asn1::{BitString, OctetString};
use der::{Decode, Encode, Sequence};
use rand_core::OsRng;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use stoq_core::cert::oid;
use stoq_core::key::HybridKey;
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;

pub(crate) const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
pub(crate) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
pub(crate) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
pub(crate) const EXT_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

#[derive(Sequence, Clone)]
pub(crate) struct Tbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) version: Version,
    pub(crate) serial: SerialNumber,
    pub(crate) signature: AlgorithmIdentifierOwned,
    issuer: Name,
    pub(crate) validity: Validity,
    subject: Name,
    pub(crate) key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    pub(crate) extensions: Vec<Extension>,
}

/// As [`Tbs`], without `signature`: the PreTBSCertificate.
#[derive(Sequence)]
struct PreTbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: Version,
    serial: SerialNumber,
    issuer: Name,
    validity: Validity,
    subject: Name,
    key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence, Clone)]
struct Certificate {
    tbs: Tbs,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// A certificate being changed.
#[derive(Clone)]
pub(crate) struct Forgery(Certificate);

impl Forgery {
    pub(crate) fn of(der: &[u8]) -> Self {
        Self(Certificate::from_der(der).unwrap())
    }

    pub(crate) fn tbs(&mut self) -> &mut Tbs {
        &mut self.0.tbs
    }

    pub(crate) fn outer_algorithm(&mut self) -> &mut AlgorithmIdentifierOwned {
        &mut self.0.algorithm
    }

    /// Removes an extension.
    pub(crate) fn without(mut self, id: ObjectIdentifier) -> Self {
        self.0.tbs.extensions.retain(|found| found.extn_id != id);
        self
    }

    /// Adds an extension.
    pub(crate) fn with(mut self, id: ObjectIdentifier, critical: bool, value: &[u8]) -> Self {
        self.0.tbs.extensions.push(Extension {
            extn_id: id,
            critical,
            extn_value: OctetString::new(value).unwrap(),
        });
        self
    }

    /// Changes the value of an extension.
    pub(crate) fn changing(self, id: ObjectIdentifier, critical: bool, value: &[u8]) -> Self {
        self.without(id).with(id, critical, value)
    }

    /// The value of an extension.
    pub(crate) fn extension(&self, id: ObjectIdentifier) -> Vec<u8> {
        let mut all = self.0.tbs.extensions.iter();
        let found = all.find(|found| found.extn_id == id).unwrap();
        found.extn_value.as_bytes().to_vec()
    }

    /// Signs with Ed25519 only, as who broke the classical key could.
    pub(crate) fn sign_ed25519(mut self, key: &HybridKey) -> Vec<u8> {
        let signature = key.sign_ed25519(&self.0.tbs.to_der().unwrap());
        self.0.signature = BitString::from_bytes(&signature).unwrap();
        self.0.to_der().unwrap()
    }

    /// Signs with both, as the authority itself would.
    pub(crate) fn sign(self, key: &HybridKey) -> Vec<u8> {
        let bare = self.without(oid::ALT_SIGNATURE_VALUE);
        let falcon = key.sign_falcon(&mut OsRng, &bare.pre_tbs());
        let value = BitString::from_bytes(&falcon).unwrap().to_der().unwrap();
        bare.with(oid::ALT_SIGNATURE_VALUE, false, &value)
            .sign_ed25519(key)
    }

    /// What the FALCON signature covers.
    pub(crate) fn pre_tbs(&self) -> Vec<u8> {
        let tbs = self.clone().without(oid::ALT_SIGNATURE_VALUE).0.tbs;
        PreTbs {
            version: tbs.version,
            serial: tbs.serial,
            issuer: tbs.issuer,
            validity: tbs.validity,
            subject: tbs.subject,
            key: tbs.key,
            extensions: tbs.extensions,
        }
        .to_der()
        .unwrap()
    }

    /// The FALCON signature it carries.
    pub(crate) fn falcon_signature(&self) -> Vec<u8> {
        let value = self.extension(oid::ALT_SIGNATURE_VALUE);
        BitString::from_der(&value).unwrap().raw_bytes().to_vec()
    }

    /// Encodes without signing again.
    pub(crate) fn unsigned(self) -> Vec<u8> {
        self.0.to_der().unwrap()
    }
}

/// A SubjectAltName of URIs only.
pub(crate) fn uris(uris: &[&[u8]]) -> Vec<u8> {
    // GeneralName [6] IA5String, short and long lengths (X.690, 8.1.3).
    let length = |len: usize| match u8::try_from(len) {
        Ok(len) if len < 0x80 => vec![len],
        _ => vec![0x82, (len >> 8) as u8, len as u8],
    };
    let mut names = Vec::new();
    for uri in uris {
        names.push(0x86);
        names.extend(length(uri.len()));
        names.extend_from_slice(uri);
    }
    [vec![0x30], length(names.len()), names].concat()
}
