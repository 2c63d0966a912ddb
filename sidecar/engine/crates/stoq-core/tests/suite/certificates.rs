//! Leaves and roots: what is accepted, and what each refusal names.

use const_oid::ObjectIdentifier;
use der::Encode;
use rand_core::OsRng;
use stoq_core::cert::{CertificateError, Leaf, MAX_DER_LEN, RootCertificate, oid, plain_serial};
use stoq_core::key::{HybridKey, verify_ed25519};
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::SpiffeError;

use crate::forge::{self, Forgery};
use crate::mesh::{DAY, Mesh, START, authority, id, today};

/// A mesh, and a good leaf of it.
pub(crate) fn leaf() -> (Mesh, Vec<u8>) {
    let mesh = Mesh::new();
    let key = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
    let (leaf, _) = mesh.leaf(&key, &id("web"), today());
    (mesh, leaf)
}

/// What comes of a leaf changed and then signed properly with both keys.
pub(crate) fn changed(change: impl FnOnce(Forgery) -> Forgery) -> CertificateError {
    let (mesh, good) = leaf();
    let forged = change(Forgery::of(&good)).sign(mesh.ca.key());
    match Leaf::parse(&forged) {
        Ok(leaf) => leaf.verify(mesh.ca.root()).unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn a_leaf_says_whom_it_names_and_until_when() {
    let mesh = Mesh::new();
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let (der, serial) = mesh.leaf(&key, &id("web"), today());
    let leaf = Leaf::parse(&der).unwrap();
    assert_eq!(leaf.spiffe, id("web"));
    assert_eq!(leaf.serial, serial);
    assert_eq!((leaf.not_before, leaf.not_after), (START, START + DAY));
    assert_eq!(leaf.ed25519, key.ed25519_public());
    assert_eq!(leaf.falcon, *key.falcon_public());
    assert_eq!(leaf.der(), der);
    assert_eq!(leaf.verify(mesh.ca.root()), Ok(()));
}

#[test]
fn a_leaf_of_falcon_1024_has_at_most_3700_bytes() {
    let mesh = Mesh::new();
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let (der, _) = mesh.leaf(&key, &id("a-service-account-of-usual-length"), today());
    assert!(der.len() <= 3700, "{}", der.len());
}

#[test]
fn both_signatures_cover_what_the_standards_say() {
    let (mesh, good) = leaf();
    let root = mesh.ca.root();
    let mut forgery = Forgery::of(&good);
    let falcon = forgery.falcon_signature();
    assert!(root.falcon.verify(&forgery.pre_tbs(), &falcon));
    let tbs = forgery.tbs().to_der().unwrap();
    assert!(verify_ed25519(
        &root.ed25519,
        &tbs,
        &good[good.len() - 64..]
    ));
}

#[test]
fn a_classical_certificate_is_refused() {
    let (mesh, good) = leaf();
    let forged = Forgery::of(&good)
        .without(oid::SUBJECT_ALT_PUBLIC_KEY_INFO)
        .without(oid::ALT_SIGNATURE_ALGORITHM)
        .without(oid::ALT_SIGNATURE_VALUE)
        .sign_ed25519(mesh.ca.key());
    assert_eq!(
        Leaf::parse(&forged).unwrap_err(),
        CertificateError::Missing("SubjectAltPublicKeyInfo (2.5.29.72)")
    );
}

#[test]
fn a_certificate_whose_falcon_signature_was_stripped_is_refused() {
    let (mesh, good) = leaf();
    let value = Forgery::of(&good)
        .without(oid::ALT_SIGNATURE_VALUE)
        .sign_ed25519(mesh.ca.key());
    assert_eq!(
        Leaf::parse(&value).unwrap_err(),
        CertificateError::Missing("AltSignatureValue (2.5.29.74)")
    );
    let algorithm = Forgery::of(&good)
        .without(oid::ALT_SIGNATURE_ALGORITHM)
        .sign_ed25519(mesh.ca.key());
    assert_eq!(
        Leaf::parse(&algorithm).unwrap_err(),
        CertificateError::Missing("AltSignatureAlgorithm (2.5.29.73)")
    );
}

#[test]
fn a_falcon_signature_swapped_in_from_another_leaf_is_refused() {
    let (mesh, good) = leaf();
    let key = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
    let (other, _) = mesh.leaf(&key, &id("db"), today());
    let value = Forgery::of(&other).extension(oid::ALT_SIGNATURE_VALUE);
    let forged = Forgery::of(&good)
        .changing(oid::ALT_SIGNATURE_VALUE, false, &value)
        .sign_ed25519(mesh.ca.key());
    let leaf = Leaf::parse(&forged).unwrap();
    assert_eq!(
        leaf.verify(mesh.ca.root()),
        Err(CertificateError::FalconSignature)
    );
}

#[test]
fn an_ed25519_signature_of_another_key_is_refused() {
    let (mesh, good) = leaf();
    let other = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
    let leaf = Leaf::parse(&Forgery::of(&good).sign_ed25519(&other)).unwrap();
    assert_eq!(
        leaf.verify(mesh.ca.root()),
        Err(CertificateError::Ed25519Signature)
    );
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    let (mesh, good) = leaf();
    for index in (0..good.len()).step_by(7) {
        let mut changed = good.clone();
        changed[index] ^= 1;
        let accepted = Leaf::parse(&changed).and_then(|leaf| leaf.verify(mesh.ca.root()));
        assert!(accepted.is_err(), "byte {index}");
    }
}

#[test]
fn a_leaf_of_another_authority_is_refused() {
    let (_, good) = leaf();
    let leaf = Leaf::parse(&good).unwrap();
    let other = authority("mesh.test");
    assert!(!leaf.names_issuer(other.root()));
    assert_eq!(
        leaf.verify(other.root()),
        Err(CertificateError::OtherIssuer)
    );
}

#[test]
fn a_nul_in_the_uri_name_is_refused() {
    let uri = forge::uris(&[b"spiffe://mesh.test/ns/shop/sa/web\0.evil"]);
    let error = changed(|leaf| leaf.changing(forge::SUBJECT_ALT_NAME, true, &uri));
    assert_eq!(error, CertificateError::Nul);
}

#[test]
fn exactly_one_uri_name_is_required() {
    let good: &[u8] = b"spiffe://mesh.test/ns/shop/sa/web";
    for (uris, count) in [(vec![], 0), (vec![good, good], 2)] {
        let value = forge::uris(&uris);
        let error = changed(|leaf| leaf.changing(forge::SUBJECT_ALT_NAME, true, &value));
        assert_eq!(error, CertificateError::UriNames(count));
    }
    let error = changed(|leaf| leaf.without(forge::SUBJECT_ALT_NAME));
    assert_eq!(error, CertificateError::Missing("SubjectAltName"));
}

#[test]
fn a_name_of_another_kind_beside_the_uri_is_passed_over() {
    let (mesh, good) = leaf();
    let mut value = forge::uris(&[b"spiffe://mesh.test/ns/shop/sa/web"]);
    value.extend_from_slice(b"\x82\x03web"); // dNSName
    value[1] += 5;
    let forged = Forgery::of(&good)
        .changing(forge::SUBJECT_ALT_NAME, true, &value)
        .sign(mesh.ca.key());
    assert_eq!(Leaf::parse(&forged).unwrap().spiffe, id("web"));
}

#[test]
fn a_uri_that_is_no_spiffe_id_is_refused() {
    let uri = forge::uris(&[b"https://mesh.test/ns/shop/sa/web"]);
    let error = changed(|leaf| leaf.changing(forge::SUBJECT_ALT_NAME, true, &uri));
    assert!(matches!(
        error,
        CertificateError::Spiffe(SpiffeError::Scheme(_))
    ));
}

#[test]
fn a_leaf_that_may_sign_certificates_is_refused() {
    let authority = [0x30, 0x03, 0x01, 0x01, 0xff];
    let error = changed(|leaf| leaf.changing(forge::BASIC_CONSTRAINTS, true, &authority));
    assert_eq!(error, CertificateError::Usage("a leaf"));
    for usage in [
        [0x03, 0x02, 0x02, 0x84], // digitalSignature, keyCertSign
        [0x03, 0x02, 0x01, 0x82], // digitalSignature, cRLSign
        [0x03, 0x02, 0x05, 0x20], // keyEncipherment
    ] {
        let error = changed(|leaf| leaf.changing(forge::KEY_USAGE, true, &usage));
        assert_eq!(error, CertificateError::Usage("a leaf"));
    }
    let error = changed(|leaf| leaf.without(forge::KEY_USAGE));
    assert_eq!(error, CertificateError::Missing("KeyUsage"));
}

#[test]
fn an_extended_key_usage_must_cover_both_roles_and_may_be_absent() {
    // serverAuth only
    let value = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
    let error = changed(|leaf| leaf.changing(forge::EXT_KEY_USAGE, false, value));
    assert_eq!(
        error,
        CertificateError::Usage("client and server authentication")
    );
    let (mesh, good) = leaf();
    let forged = Forgery::of(&good)
        .without(forge::EXT_KEY_USAGE)
        .without(forge::BASIC_CONSTRAINTS)
        .sign(mesh.ca.key());
    assert!(Leaf::parse(&forged).is_ok());
}

#[test]
fn an_unknown_extension_is_refused_only_if_it_is_critical() {
    let unknown = ObjectIdentifier::new_unwrap("1.2.3.4");
    let error = changed(|leaf| leaf.with(unknown, true, b"\x05\x00"));
    assert_eq!(error, CertificateError::UnknownCritical(unknown));
    let (mesh, good) = leaf();
    let forged = Forgery::of(&good)
        .with(unknown, false, b"\x05\x00")
        .sign(mesh.ca.key());
    assert_eq!(Leaf::parse(&forged).unwrap().verify(mesh.ca.root()), Ok(()));
}

#[test]
fn an_extension_that_comes_twice_is_refused() {
    let uri = forge::uris(&[b"spiffe://mesh.test/ns/shop/sa/admin"]);
    let error = changed(|leaf| leaf.with(forge::SUBJECT_ALT_NAME, true, &uri));
    assert_eq!(error, CertificateError::Duplicate(forge::SUBJECT_ALT_NAME));
}

#[test]
fn other_algorithms_are_refused_by_the_field_that_names_them() {
    let ed448 = ObjectIdentifier::new_unwrap("1.3.101.113");
    let field = |error: CertificateError| match error {
        CertificateError::Algorithm { field, found, .. } => (field, found),
        other => panic!("{other}"),
    };
    let error = changed(|mut leaf| {
        leaf.tbs().key.algorithm.oid = ed448;
        leaf
    });
    assert_eq!(field(error), ("public key algorithm", ed448));
    let error = changed(|mut leaf| {
        leaf.tbs().signature.oid = ed448;
        leaf
    });
    assert_eq!(field(error), ("signature field", ed448));
    let error = changed(|mut leaf| {
        leaf.outer_algorithm().oid = ed448;
        leaf
    });
    assert_eq!(field(error), ("signature algorithm", ed448));
}

#[test]
fn a_falcon_algorithm_that_is_not_the_keys_is_refused() {
    // The authority signs with FALCON-1024; the leaf's key is FALCON-512.
    let claimed = der::Encode::to_der(&oid::FALCON_PADDED_512).unwrap();
    let claimed = [&[0x30, u8::try_from(claimed.len()).unwrap()], &claimed[..]].concat();
    let error = changed(|leaf| leaf.changing(oid::ALT_SIGNATURE_ALGORITHM, false, &claimed));
    assert_eq!(
        error,
        CertificateError::Algorithm {
            field: "AltSignatureAlgorithm",
            found: oid::FALCON_PADDED_512,
            expected: "FALCON-1024",
        }
    );
    let error = changed(|leaf| {
        let mut key = leaf.extension(oid::SUBJECT_ALT_PUBLIC_KEY_INFO);
        let last = 2 + claimed.len() + 1;
        assert_eq!(key[last], 16, "the last arc of falconpadded512");
        key[last] = 19;
        leaf.changing(oid::SUBJECT_ALT_PUBLIC_KEY_INFO, false, &key)
    });
    assert_eq!(
        error,
        CertificateError::Algorithm {
            field: "alternative public key algorithm",
            found: oid::FALCON_PADDED_1024,
            expected: "FALCON-512",
        }
    );
}

#[test]
fn a_malformed_falcon_key_is_refused() {
    let error = changed(|leaf| {
        let mut key = leaf.extension(oid::SUBJECT_ALT_PUBLIC_KEY_INFO);
        let end = key.len() - 8;
        key[end..].fill(0xff);
        leaf.changing(oid::SUBJECT_ALT_PUBLIC_KEY_INFO, false, &key)
    });
    assert!(matches!(error, CertificateError::Falcon(_)), "{error}");
}

#[test]
fn a_validity_that_ends_before_it_begins_is_refused() {
    let error = changed(|mut leaf| {
        let validity = &mut leaf.tbs().validity;
        std::mem::swap(&mut validity.not_before, &mut validity.not_after);
        leaf
    });
    assert_eq!(error, CertificateError::Validity);
}

#[test]
fn an_older_version_is_refused() {
    let error = changed(|mut leaf| {
        leaf.tbs().version = x509_cert::Version::V2;
        leaf
    });
    assert_eq!(error, CertificateError::Version);
}

#[test]
fn what_is_no_certificate_at_all_is_refused() {
    assert!(matches!(
        Leaf::parse(&[]).unwrap_err(),
        CertificateError::Der(_)
    ));
    assert_eq!(
        Leaf::parse(&vec![0x30; MAX_DER_LEN + 1]).unwrap_err(),
        CertificateError::TooLarge(MAX_DER_LEN + 1)
    );
    let (_, good) = leaf();
    let trailing = [&good[..], &[0]].concat();
    assert!(Leaf::parse(&trailing).is_err());
    for length in (0..good.len()).step_by(11) {
        assert!(Leaf::parse(&good[..length]).is_err());
    }
}

#[test]
fn a_root_is_read_and_names_its_trust_domain() {
    let made = authority("mesh.test");
    let root = RootCertificate::parse(made.root().der()).unwrap();
    assert_eq!(root.trust_domain.as_str(), "mesh.test");
    assert_eq!(root.key_id(), made.root().key_id());
    assert_eq!(root.key_id().len(), 20);
    assert!(root.der().len() < 4096);
}

#[test]
fn a_leaf_is_no_root_and_a_root_no_leaf() {
    let (mesh, good) = leaf();
    assert_eq!(
        RootCertificate::parse(&good).unwrap_err(),
        CertificateError::Usage("a root")
    );
    assert_eq!(
        Leaf::parse(mesh.ca.root().der()).unwrap_err(),
        CertificateError::Usage("a leaf")
    );
}

#[test]
fn a_root_must_have_signed_itself_with_both_keys() {
    let made = authority("mesh.test");
    let root = || Forgery::of(made.root().der());
    let other = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    assert_eq!(
        RootCertificate::parse(&root().sign(&other)).unwrap_err(),
        CertificateError::Ed25519Signature
    );
    let falcon_of_other = Forgery::of(&root().sign(&other)).extension(oid::ALT_SIGNATURE_VALUE);
    let forged = root()
        .changing(oid::ALT_SIGNATURE_VALUE, false, &falcon_of_other)
        .sign_ed25519(made.key());
    assert_eq!(
        RootCertificate::parse(&forged).unwrap_err(),
        CertificateError::FalconSignature
    );
    let uri = forge::uris(&[b"spiffe://mesh.test/ns/shop/sa/web"]);
    let forged = root()
        .changing(forge::SUBJECT_ALT_NAME, false, &uri)
        .sign(made.key());
    assert!(matches!(
        RootCertificate::parse(&forged).unwrap_err(),
        CertificateError::Spiffe(_)
    ));
    assert!(RootCertificate::parse(&root().unsigned()).is_ok());
}

#[test]
fn serial_numbers_are_compared_without_leading_zeros() {
    assert_eq!(plain_serial(&[0, 0, 1, 0]), [1, 0]);
    assert_eq!(plain_serial(&[0]), [0; 0]);
    assert_eq!(plain_serial(&[7]), [7]);
}
