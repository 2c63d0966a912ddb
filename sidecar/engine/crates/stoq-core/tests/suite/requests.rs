//! Requests that prove less than they should.

use const_oid::ObjectIdentifier;
use der::asn1::{Any, BitString, SetOfVec};
use der::{Decode, Encode};
use rand_core::OsRng;
use stoq_core::cert::{CertificateError, Csr, csr, oid};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::request::CertReq;

fn key() -> HybridKey {
    HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng)
}

/// A good request of `key`, its attributes changed, and the Ed25519 proof made
/// anew: as the holder of that key alone could.
fn changed(
    key: &HybridKey,
    change: impl FnOnce(&mut Vec<Attribute>),
) -> Result<Csr, CertificateError> {
    let mut request = CertReq::from_der(&csr::build(key, &mut OsRng)).unwrap();
    let mut attributes: Vec<Attribute> = request.info.attributes.iter().cloned().collect();
    change(&mut attributes);
    request.info.attributes = Attributes::try_from(attributes).unwrap();
    let proof = key.sign_ed25519(&request.info.to_der().unwrap());
    request.signature = BitString::from_bytes(&proof).unwrap();
    Csr::parse_and_verify(&request.to_der().unwrap())
}

fn attributes_of(key: &HybridKey) -> Attributes {
    let request = CertReq::from_der(&csr::build(key, &mut OsRng)).unwrap();
    request.info.attributes
}

fn take(attributes: &Attributes, id: ObjectIdentifier) -> Attribute {
    let mut all = attributes.iter();
    all.find(|found| found.oid == id).unwrap().clone()
}

#[test]
fn a_request_without_a_falcon_part_is_refused_by_the_parts_name() {
    for (id, name) in [
        (
            oid::SUBJECT_ALT_PUBLIC_KEY_INFO,
            "SubjectAltPublicKeyInfo (2.5.29.72)",
        ),
        (
            oid::ALT_SIGNATURE_ALGORITHM,
            "AltSignatureAlgorithm (2.5.29.73)",
        ),
        (oid::ALT_SIGNATURE_VALUE, "AltSignatureValue (2.5.29.74)"),
    ] {
        let refused = changed(&key(), |attributes| {
            attributes.retain(|found| found.oid != id)
        });
        assert_eq!(refused, Err(CertificateError::Missing(name)));
    }
}

#[test]
fn a_falcon_key_whose_owner_did_not_sign_is_refused() {
    let other = attributes_of(&key());
    let id = oid::SUBJECT_ALT_PUBLIC_KEY_INFO;
    let refused = changed(&key(), |attributes| {
        attributes.retain(|found| found.oid != id);
        attributes.push(take(&other, id));
    });
    assert_eq!(refused, Err(CertificateError::FalconSignature));
}

#[test]
fn an_ed25519_key_whose_owner_did_not_sign_is_refused() {
    let mut request = CertReq::from_der(&csr::build(&key(), &mut OsRng)).unwrap();
    let proof = key().sign_ed25519(&request.info.to_der().unwrap());
    request.signature = BitString::from_bytes(&proof).unwrap();
    assert_eq!(
        Csr::parse_and_verify(&request.to_der().unwrap()),
        Err(CertificateError::Ed25519Signature)
    );
}

#[test]
fn a_proof_taken_from_another_request_is_refused() {
    let other = attributes_of(&key());
    let id = oid::ALT_SIGNATURE_VALUE;
    let refused = changed(&key(), |attributes| {
        attributes.retain(|found| found.oid != id);
        attributes.push(take(&other, id));
    });
    assert_eq!(refused, Err(CertificateError::FalconSignature));
}

#[test]
fn a_part_with_two_values_is_refused() {
    let id = oid::ALT_SIGNATURE_VALUE;
    let refused = changed(&key(), |attributes| {
        let found = attributes.iter_mut().find(|found| found.oid == id).unwrap();
        let second = Any::from_der(&[0x05, 0x00]).unwrap();
        let both = [found.values.get(0).unwrap().clone(), second];
        found.values = SetOfVec::try_from(both).unwrap();
    });
    assert_eq!(refused, Err(CertificateError::Duplicate(id)));
}

#[test]
fn a_part_that_comes_twice_is_refused() {
    let id = oid::ALT_SIGNATURE_VALUE;
    let other = attributes_of(&key());
    let refused = changed(&key(), |attributes| attributes.push(take(&other, id)));
    assert_eq!(refused, Err(CertificateError::Duplicate(id)));
}

#[test]
fn a_claimed_algorithm_that_is_not_the_keys_is_refused() {
    let big = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let other = attributes_of(&big);
    let id = oid::ALT_SIGNATURE_ALGORITHM;
    let refused = changed(&key(), |attributes| {
        attributes.retain(|found| found.oid != id);
        attributes.push(take(&other, id));
    });
    assert_eq!(
        refused,
        Err(CertificateError::Algorithm {
            field: "AltSignatureAlgorithm",
            found: oid::FALCON_PADDED_1024,
            expected: "FALCON-512",
        })
    );
}
