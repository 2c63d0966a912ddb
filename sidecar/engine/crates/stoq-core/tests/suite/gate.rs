//! The gate, as a pure function.

use std::sync::Arc;

use rand_core::OsRng;
use stoq_core::authorise::{Expect, Peer, Refusal, Trust, authorise, reauthorise};
use stoq_core::cert::{CertificateAuthority, CertificateError, Validity, random_serial};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_wire::code::ConnectionCode;

use crate::mesh::{DAY, Mesh, START, authority, domain, id, today};

struct Case {
    mesh: Mesh,
    leaf: Vec<u8>,
    serial: Vec<u8>,
    trust: Trust,
}

fn case() -> Case {
    let mesh = Mesh::new();
    let key = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
    let (leaf, serial) = mesh.leaf(&key, &id("web"), today());
    let trust = mesh.trust();
    Case {
        mesh,
        leaf,
        serial,
        trust,
    }
}

impl Case {
    fn ask(&self, now: u64, expect: &Expect) -> Result<Option<Peer>, Refusal> {
        authorise(Some(&self.leaf), now, &self.trust, expect)
    }

    /// The refusal; a peer let in before must be refused alike from then on.
    fn refusal(&self, now: u64, expect: &Expect) -> Refusal {
        let fresh = self.ask(now, expect).unwrap_err();
        let root = self.mesh.trust();
        let peer = authorise(Some(&self.leaf), START, &root, &Expect::AnyInMesh);
        let live = reauthorise(&peer.unwrap().unwrap(), now, &self.trust, expect);
        assert_eq!(live, Err(fresh.clone()));
        fresh
    }
}

#[test]
fn a_good_certificate_is_let_in_by_every_expectation_it_meets() {
    let case = case();
    for expect in [Expect::Id(id("web")), Expect::AnyInMesh, Expect::Bootstrap] {
        let peer = case.ask(START, &expect).unwrap().unwrap();
        assert_eq!(peer.spiffe, id("web"));
        assert_eq!(peer.serial, case.serial);
        assert_eq!(peer.not_after, START + DAY);
        assert_eq!(peer.leaf_der, Arc::from(&case.leaf[..]));
        assert_eq!(reauthorise(&peer, START, &case.trust, &expect), Ok(()));
    }
}

#[test]
fn no_certificate_is_let_in_at_the_bootstrap_listener_only() {
    let trust = case().trust;
    assert_eq!(authorise(None, START, &trust, &Expect::Bootstrap), Ok(None));
    for expect in [Expect::AnyInMesh, Expect::Id(id("web"))] {
        assert_eq!(
            authorise(None, START, &trust, &expect),
            Err(Refusal::NoCertificate)
        );
    }
}

#[test]
fn validity_includes_its_first_and_its_last_second() {
    let case = case();
    let any = Expect::AnyInMesh;
    assert!(case.ask(START, &any).is_ok());
    assert!(case.ask(START + DAY, &any).is_ok());
    assert_eq!(
        case.refusal(START - 1, &any),
        Refusal::NotYetValid {
            id: id("web"),
            not_before: START,
            now: START - 1
        }
    );
    assert_eq!(
        case.refusal(START + DAY + 1, &any),
        Refusal::Expired {
            id: id("web"),
            not_after: START + DAY,
            now: START + DAY + 1
        }
    );
}

#[test]
fn a_valid_certificate_of_another_workload_is_refused() {
    let case = case();
    assert_eq!(
        case.refusal(START, &Expect::Id(id("db"))),
        Refusal::OtherId {
            expected: id("db"),
            found: id("web")
        }
    );
}

#[test]
fn a_revoked_identity_needs_a_certificate_from_after_the_revocation() {
    let mut case = case();
    let peer = case.ask(START, &Expect::AnyInMesh).unwrap().unwrap();
    case.trust.revoke_identity(id("other"), u64::MAX);
    case.trust.revoke_identity(id("web"), peer.not_before);
    assert!(case.ask(START, &Expect::AnyInMesh).is_ok());
    case.trust.revoke_identity(id("web"), peer.not_before + 1);
    case.trust.revoke_identity(id("web"), peer.not_before);
    let refusal = case.refusal(START, &Expect::AnyInMesh);
    assert_eq!(refusal.name(), "identity_revoked");
    assert!(refusal.to_string().contains("ns/shop/sa/web"), "{refusal}");
}

#[test]
fn a_revoked_serial_is_refused_however_it_is_written() {
    let mut case = case();
    let padded = [&[0, 0], &case.serial[..]].concat();
    case.trust.revoke(&padded);
    assert!(case.trust.is_revoked(&case.serial));
    assert_eq!(
        case.refusal(START, &Expect::AnyInMesh),
        Refusal::Revoked {
            id: id("web"),
            serial: case.serial.clone()
        }
    );
}

#[test]
fn another_trust_domain_is_refused_until_it_is_federated() {
    let mut case = case();
    let ours = Mesh::of("other.test");
    case.trust = ours.trust();
    let refusal = case.refusal(START, &Expect::AnyInMesh);
    assert_eq!(
        refusal,
        Refusal::TrustDomain {
            id: id("web"),
            ours: domain("other.test")
        }
    );
    let theirs = case.mesh.ca.root().clone();
    case.trust
        .federated
        .insert(domain("mesh.test"), vec![theirs]);
    assert!(case.ask(START, &Expect::AnyInMesh).is_ok());
}

#[test]
fn a_federated_root_speaks_for_its_own_domain_only() {
    let mut case = case();
    // Filed under our peer's name, but the root is of mesh.test.
    case.trust = Mesh::of("other.test").trust();
    let root = authority("other.test").root().clone();
    case.trust.federated.insert(domain("mesh.test"), vec![root]);
    assert_eq!(
        case.refusal(START, &Expect::AnyInMesh),
        Refusal::UnknownRoot(id("web"))
    );
}

#[test]
fn a_root_outside_the_bundle_is_refused_and_two_may_overlap() {
    let mut case = case();
    case.trust.roots = vec![authority("mesh.test").root().clone()];
    assert_eq!(
        case.refusal(START, &Expect::AnyInMesh),
        Refusal::UnknownRoot(id("web"))
    );
    case.trust.roots.push(case.mesh.ca.root().clone());
    assert!(case.ask(START, &Expect::AnyInMesh).is_ok());
}

#[test]
fn an_expired_root_vouches_for_nobody() {
    let mut case = case();
    let short = CertificateAuthority::create(
        &domain("mesh.test"),
        CryptoProfile::Hybrid512,
        today(),
        &random_serial(&mut OsRng),
        &mut OsRng,
    )
    .unwrap();
    case.mesh.ca = short;
    let key = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
    (case.leaf, case.serial) = case.mesh.leaf(&key, &id("web"), today());
    case.trust = case.mesh.trust();
    for now in [START - 1, START + DAY + 1] {
        assert!(matches!(
            case.refusal(now, &Expect::AnyInMesh),
            Refusal::RootExpired { .. }
        ));
    }
}

#[test]
fn a_forged_signature_is_refused_by_its_name() {
    let mut case = case();
    let last = case.leaf.len() - 1;
    case.leaf[last] ^= 1;
    assert_eq!(
        case.ask(START, &Expect::AnyInMesh),
        Err(Refusal::Certificate(CertificateError::Ed25519Signature))
    );
}

#[test]
fn every_refusal_has_an_alert_a_code_and_a_name() {
    use rustls::AlertDescription as Alert;
    let id = id("web");
    let (domain, now) = (domain("mesh.test"), START);
    let validity = Validity {
        not_before: 1,
        not_after: 2,
    };
    let all = [
        (
            Refusal::NoTrust,
            Alert::UnknownCA,
            ConnectionCode::Unauthorised,
            "no_trust_bundle",
        ),
        (
            Refusal::NoCertificate,
            Alert::CertificateRequired,
            ConnectionCode::Unauthorised,
            "no_certificate",
        ),
        (
            Refusal::Certificate(CertificateError::Nul),
            Alert::BadCertificate,
            ConnectionCode::Unauthorised,
            "bad_certificate",
        ),
        (
            Refusal::TrustDomain {
                id: id.clone(),
                ours: domain.clone(),
            },
            Alert::UnknownCA,
            ConnectionCode::Unauthorised,
            "other_trust_domain",
        ),
        (
            Refusal::UnknownRoot(id.clone()),
            Alert::UnknownCA,
            ConnectionCode::Unauthorised,
            "unknown_root",
        ),
        (
            Refusal::RootExpired {
                trust_domain: domain,
                not_before: validity.not_before,
                not_after: validity.not_after,
                now,
            },
            Alert::UnknownCA,
            ConnectionCode::Expired,
            "root_expired",
        ),
        (
            Refusal::Expired {
                id: id.clone(),
                not_after: 2,
                now,
            },
            Alert::CertificateExpired,
            ConnectionCode::Expired,
            "expired",
        ),
        (
            Refusal::NotYetValid {
                id: id.clone(),
                not_before: 3,
                now,
            },
            Alert::CertificateExpired,
            ConnectionCode::Expired,
            "not_yet_valid",
        ),
        (
            Refusal::Revoked {
                id: id.clone(),
                serial: vec![0x0a, 0xff],
            },
            Alert::CertificateRevoked,
            ConnectionCode::Revoked,
            "revoked",
        ),
        (
            Refusal::IdentityRevoked {
                id: id.clone(),
                before: 4,
            },
            Alert::CertificateRevoked,
            ConnectionCode::Revoked,
            "identity_revoked",
        ),
        (
            Refusal::FalconKeyId(id.clone()),
            Alert::IllegalParameter,
            ConnectionCode::Unauthorised,
            "other_falcon_key",
        ),
        (
            Refusal::OtherId {
                expected: id.clone(),
                found: id,
            },
            Alert::AccessDenied,
            ConnectionCode::Unauthorised,
            "other_id",
        ),
    ];
    for (refusal, alert, code, name) in all {
        assert_eq!(refusal.alert(), alert, "{refusal}");
        assert_eq!(refusal.connection_code(), code, "{refusal}");
        assert_eq!(refusal.name(), name);
    }
    let revoked = Refusal::Revoked {
        id: crate::mesh::id("web"),
        serial: vec![0x0a, 0xff],
    };
    assert!(revoked.to_string().contains("0aff"));
}
