//! The authority and the requests it signs.

use rand_core::OsRng;
use stoq_core::cert::{
    CertificateAuthority, CertificateError, Csr, IssueError, Leaf, MAX_DER_LEN, Validity, csr,
    random_serial,
};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::spiffe::SpiffeId;

use crate::mesh::{DAY, START, authority, domain, id, request, today};

fn key() -> HybridKey {
    HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng)
}

#[test]
fn a_request_proves_possession_of_both_keys() {
    for profile in [CryptoProfile::Hybrid512, CryptoProfile::Hybrid1024] {
        let key = HybridKey::generate(profile, &mut OsRng);
        let request = Csr::parse_and_verify(&csr::build(&key, &mut OsRng)).unwrap();
        assert_eq!(*request.ed25519(), key.ed25519_public());
        assert_eq!(request.falcon(), key.falcon_public());
    }
}

#[test]
fn a_change_of_any_byte_of_a_request_is_noticed() {
    let good = csr::build(&key(), &mut OsRng);
    for index in (0..good.len()).step_by(5) {
        let mut changed = good.clone();
        changed[index] ^= 1;
        assert!(Csr::parse_and_verify(&changed).is_err(), "byte {index}");
    }
}

#[test]
fn a_cut_or_oversized_request_is_refused() {
    let good = csr::build(&key(), &mut OsRng);
    for length in (0..good.len()).step_by(13) {
        assert!(Csr::parse_and_verify(&good[..length]).is_err());
    }
    assert_eq!(
        Csr::parse_and_verify(&vec![0; MAX_DER_LEN + 1]),
        Err(CertificateError::TooLarge(MAX_DER_LEN + 1))
    );
}

#[test]
fn an_authority_is_restored_from_its_key_and_root() {
    let made = authority("mesh.test");
    let key = HybridKey::from_bytes(&made.key().to_bytes()).unwrap();
    let restored = CertificateAuthority::from_parts(key, made.root().der()).unwrap();
    let leaf = restored
        .issue(
            &request(&self::key()),
            &id("web"),
            today(),
            &random_serial(&mut OsRng),
            &mut OsRng,
        )
        .unwrap();
    assert_eq!(Leaf::parse(&leaf).unwrap().verify(made.root()), Ok(()));
    assert_eq!(
        CertificateAuthority::from_parts(self::key(), made.root().der()).unwrap_err(),
        CertificateError::OtherKey
    );
    assert!(CertificateAuthority::from_parts(self::key(), b"nonsense").is_err());
}

#[test]
fn an_id_of_another_trust_domain_is_not_certified() {
    let ca = authority("mesh.test");
    let foreign = SpiffeId::new(&domain("other.test"), "shop", "web").unwrap();
    let serial = random_serial(&mut OsRng);
    let error = ca
        .issue(&request(&key()), &foreign, today(), &serial, &mut OsRng)
        .unwrap_err();
    assert!(matches!(error, IssueError::TrustDomain { .. }));
    assert!(error.to_string().contains("other.test"), "{error}");
}

#[test]
fn a_leaf_never_outlives_its_root() {
    let ca = authority("mesh.test");
    let root = Validity {
        not_before: ca.root().not_before,
        not_after: ca.root().not_after,
    };
    let issue = |validity| {
        let serial = random_serial(&mut OsRng);
        ca.issue(&request(&key()), &id("web"), validity, &serial, &mut OsRng)
    };
    assert!(issue(root).is_ok());
    for asked in [
        Validity {
            not_after: root.not_after + 1,
            ..root
        },
        Validity {
            not_before: root.not_before - 1,
            ..root
        },
    ] {
        assert_eq!(issue(asked), Err(IssueError::BeyondRoot { asked, root }));
    }
}

#[test]
fn a_validity_that_ends_before_it_begins_is_refused() {
    let never = Validity {
        not_before: START,
        not_after: START - 1,
    };
    let serial = random_serial(&mut OsRng);
    let error = authority("mesh.test")
        .issue(&request(&key()), &id("web"), never, &serial, &mut OsRng)
        .unwrap_err();
    assert_eq!(error, IssueError::Empty(never));
    let domain = domain("mesh.test");
    let error = CertificateAuthority::create(
        &domain,
        CryptoProfile::Hybrid512,
        never,
        &serial,
        &mut OsRng,
    )
    .unwrap_err();
    assert_eq!(error, IssueError::Empty(never));
}

#[test]
fn what_x509_cannot_carry_is_an_error() {
    let create = |validity, serial: &[u8]| {
        CertificateAuthority::create(
            &domain("mesh.test"),
            CryptoProfile::Hybrid512,
            validity,
            serial,
            &mut OsRng,
        )
    };
    let far = Validity {
        not_before: START,
        not_after: u64::MAX,
    };
    assert!(matches!(create(far, &[1]), Err(IssueError::Encoding(_))));
    for serial in [&[1; 40][..], &[0; 4], &[]] {
        let made = create(today(), serial);
        assert!(matches!(made, Err(IssueError::Encoding(_))), "{serial:?}");
    }
    // Past 2049 dates take another form (RFC 5280, 4.1.2.5).
    let century = Validity {
        not_before: START,
        not_after: START + 36_525 * DAY,
    };
    let ca = create(century, &[1]).unwrap();
    assert_eq!(ca.root().not_after, century.not_after);
}

#[test]
fn random_serials_are_positive_and_differ() {
    let serials: Vec<_> = (0..100).map(|_| random_serial(&mut OsRng)).collect();
    for (index, serial) in serials.iter().enumerate() {
        assert!((0x40..0x80).contains(&serial[0]));
        assert!(!serials[..index].contains(serial));
    }
}
