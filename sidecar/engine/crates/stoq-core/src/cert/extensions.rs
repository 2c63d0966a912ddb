//! Building the extensions and keys that our certificates carry.

use aws_lc_rs::digest::{SHA256, digest};
use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH,
};
use der::asn1::{BitString, Ia5String, ObjectIdentifier, OctetString};
use der::flagset::FlagSet;
use der::{Encode, Result};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};

use super::oid;
use crate::falcon::{Degree, VerifyingKey};
use crate::key::{ED25519_LEN, HybridKey};

/// An algorithm identifier without parameters (RFC 8410, section 3: absent).
pub(super) fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: None,
    }
}

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4).
pub(super) fn ed25519_spki(public: &[u8; ED25519_LEN]) -> Result<SubjectPublicKeyInfoOwned> {
    spki(oid::ED25519, public)
}

/// SubjectPublicKeyInfo of a FALCON key: the encoded key in the BIT STRING.
pub(super) fn falcon_spki(public: &VerifyingKey) -> Result<SubjectPublicKeyInfoOwned> {
    spki(oid::falcon(public.degree()), public.as_bytes())
}

fn spki(oid: ObjectIdentifier, public: &[u8]) -> Result<SubjectPublicKeyInfoOwned> {
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: algorithm(oid),
        subject_public_key: BitString::from_bytes(public)?,
    })
}

/// The key identifier of an authority: 160 bits of SHA-256 over both its keys
/// (as RFC 7093, section 2, method 1, but covering the pair).
pub(super) fn key_identifier(ed25519: &[u8; ED25519_LEN], falcon: &VerifyingKey) -> [u8; 20] {
    let both = [&ed25519[..], falcon.as_bytes()].concat();
    let mut id = [0; 20];
    id.copy_from_slice(&digest(&SHA256, &both).as_ref()[..20]);
    id
}

/// What every certificate carries: who it is for, and its FALCON halves.
pub(super) fn common(
    uri: &str,
    public: &VerifyingKey,
    issuer: Degree,
    issuer_id: &[u8; 20],
    subject_is_empty: bool,
) -> Result<Vec<Extension>> {
    let names: GeneralNames = vec![GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?)];
    let authority = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(&issuer_id[..])?),
        ..AuthorityKeyIdentifier::default()
    };
    Ok(vec![
        // RFC 5280, 4.2.1.6: critical where the subject is empty.
        extension(ID_CE_SUBJECT_ALT_NAME, subject_is_empty, &names)?,
        extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority)?,
        extension(
            oid::SUBJECT_ALT_PUBLIC_KEY_INFO,
            false,
            &falcon_spki(public)?,
        )?,
        extension(
            oid::ALT_SIGNATURE_ALGORITHM,
            false,
            &algorithm(oid::falcon(issuer)),
        )?,
    ])
}

/// What a leaf adds (SPIFFE X.509-SVID, section 4).
pub(super) fn leaf() -> Result<Vec<Extension>> {
    let constraints = BasicConstraints {
        ca: false,
        path_len_constraint: None,
    };
    let purposes = ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]);
    Ok(vec![
        extension(ID_CE_BASIC_CONSTRAINTS, true, &constraints)?,
        key_usage(KeyUsages::DigitalSignature.into())?,
        extension(ID_CE_EXT_KEY_USAGE, false, &purposes)?,
    ])
}

/// What a root adds: it signs leaves, and no further authorities.
pub(super) fn root(key_id: &[u8; 20]) -> Result<Vec<Extension>> {
    let constraints = BasicConstraints {
        ca: true,
        path_len_constraint: Some(0),
    };
    let subject = SubjectKeyIdentifier(OctetString::new(&key_id[..])?);
    Ok(vec![
        extension(ID_CE_BASIC_CONSTRAINTS, true, &constraints)?,
        key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)?,
        extension(ID_CE_SUBJECT_KEY_IDENTIFIER, false, &subject)?,
    ])
}

/// AltSignatureValue: the FALCON signature as a BIT STRING.
pub(super) fn alt_signature(signature: &[u8]) -> Result<Extension> {
    extension(
        oid::ALT_SIGNATURE_VALUE,
        false,
        &BitString::from_bytes(signature)?,
    )
}

/// The authority key identifier of a key's own certificates.
pub(super) fn own_identifier(key: &HybridKey) -> [u8; 20] {
    key_identifier(&key.ed25519_public(), key.falcon_public())
}

fn key_usage(usages: FlagSet<KeyUsages>) -> Result<Extension> {
    extension(ID_CE_KEY_USAGE, true, &KeyUsage(usages))
}

fn extension(id: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension> {
    Ok(Extension {
        extn_id: id,
        critical,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}
