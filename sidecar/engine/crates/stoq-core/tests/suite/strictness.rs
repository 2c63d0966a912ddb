//! Certificates that nearly keep the rules: numbers, algorithms and encodings.

use der::Decode;
use stoq_core::cert::{CertificateError, Leaf, oid};
use x509_cert::serial_number::SerialNumber;

use crate::certificates::{changed, leaf};
use crate::forge::{self, Forgery};

/// A leaf's refusal, or `Ok`, with these contents of the serial number.
fn numbered(contents: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let (mesh, good) = leaf();
    let encoded = [&[2, u8::try_from(contents.len()).unwrap()], contents].concat();
    let mut forgery = Forgery::of(&good);
    forgery.tbs().serial = SerialNumber::from_der(&encoded).unwrap();
    Leaf::parse(&forgery.sign(mesh.ca.key())).map(|leaf| leaf.serial)
}

#[test]
fn a_serial_number_is_positive_and_has_at_most_20_bytes() {
    let zero_and_more = [&[0][..], &[0xff; 20]].concat();
    for contents in [
        &[0][..],
        &[0x80],
        &[0xff, 0x34],
        &[1; 21],
        zero_and_more.as_slice(),
    ] {
        assert_eq!(numbered(contents), Err(CertificateError::Serial));
    }
    assert_eq!(numbered(&[0x7f; 20]), Ok(vec![0x7f; 20]));
    assert_eq!(numbered(&[0, 0x80]), Ok(vec![0x80]));
}

/// A DER SEQUENCE of up to 127 bytes.
fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

#[test]
fn a_falcon_algorithm_has_no_parameters_and_is_one_of_two() {
    let name = der::Encode::to_der(&oid::FALCON_PADDED_1024).unwrap();
    let with_null = sequence(&[&name, &[5, 0]]);
    let error = changed(|leaf| leaf.changing(oid::ALT_SIGNATURE_ALGORITHM, false, &with_null));
    assert_eq!(
        error.to_string(),
        "its AltSignatureAlgorithm is 1.3.9999.3.19, not FALCON-1024 or FALCON-512 without parameters"
    );
    let mut other = sequence(&[&name]);
    *other.last_mut().unwrap() = 17;
    let error = changed(|leaf| leaf.changing(oid::ALT_SIGNATURE_ALGORITHM, false, &other));
    assert!(
        matches!(error, CertificateError::Algorithm { .. }),
        "{error}"
    );
}

#[test]
fn extensions_are_written_as_der_requires() {
    for usage in [
        &[3, 2, 7, 0x81][..],   // a bit set where there is none
        &[3, 2, 0, 0x80],       // ends in zero bits
        &[3, 3, 7, 0x80, 0],    // ends in a zero byte
        &[3, 3, 6, 0x80, 0x40], // a bit without a meaning
    ] {
        let error = changed(|leaf| leaf.changing(forge::KEY_USAGE, true, usage));
        assert_eq!(error, CertificateError::Lax("KeyUsage"), "{usage:?}");
    }
    // FALSE is the default, which is left out.
    let constraints = [0x30, 3, 1, 1, 0];
    let error = changed(|leaf| leaf.changing(forge::BASIC_CONSTRAINTS, true, &constraints));
    assert_eq!(error, CertificateError::Lax("BasicConstraints"));
}
