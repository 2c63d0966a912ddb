//! Who does not get in, from either side, and what the operator reads.

use rand_core::OsRng;
use rustls::AlertDescription as Alert;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::kx_group;
use stoq_core::authorise::Expect;
use stoq_core::cert::{Validity, oid};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::tls::{Aead, ServerRole, TlsContext, TlsSettings};

use crate::forge::{self, Forgery};
use crate::hostile::{Hostile, Signing};
use crate::mesh::{DAY, Mesh, START, id, today};
use crate::pair::Pair;

fn key() -> HybridKey {
    HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng)
}

/// A peer of the mesh that keeps every rule yet.
fn peer(mesh: &Mesh) -> Hostile {
    let key = key();
    let (leaf, _) = mesh.leaf(&key, &id("eve"), today());
    Hostile::new(key, leaf)
}

/// Our workload must refuse `hostile` as client and as server, with this alert
/// and these words; the other end hears the same.
fn assert_refused(mesh: &Mesh, hostile: &Hostile, alert: Alert, words: &str) {
    let web = mesh.workload("web");
    let code = 0x100 + u64::from(u8::from(alert));
    let mut as_client = Pair::with(
        &web.tls,
        hostile.client(),
        &web.tls,
        web.tls.server_config(ServerRole::Mesh),
    );
    as_client.settle();
    let expect = Expect::Id(id("eve"));
    let mut as_server = Pair::with(
        &web.tls,
        web.tls
            .client_config(expect, crate::pair::SERVER.parse().unwrap()),
        &web.tls,
        hostile.server(),
    );
    as_server.settle();
    for (ours, theirs, role) in [
        (&as_client.server, &as_client.client, "client"),
        (&as_server.client, &as_server.server, "server"),
    ] {
        let (refused_with, reason) = ours.refusal();
        assert!(reason.contains(words), "as {role}: {reason}");
        assert_eq!(refused_with, code, "as {role}: {reason}");
        assert_eq!(theirs.refused_by_peer(), (code, reason), "as {role}");
        assert!(!ours.is_connected(), "as {role}");
    }
    assert!(!as_server.server.is_connected());
}

#[test]
fn the_hostile_peer_gets_in_while_it_keeps_the_rules() {
    let mesh = Mesh::new();
    let web = mesh.workload("web");
    let hostile = peer(&mesh);
    let mut pair = Pair::with(
        &web.tls,
        hostile.client(),
        &web.tls,
        web.tls.server_config(ServerRole::Mesh),
    );
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
    let evidence = pair.server.evidence();
    assert_eq!(evidence.peer.unwrap().spiffe, id("eve"));
    assert_eq!(evidence.stoq, None, "a plain QUIC peer");
    let expect = Expect::Id(id("eve"));
    let mut pair = Pair::with(
        &web.tls,
        web.tls
            .client_config(expect, crate::pair::SERVER.parse().unwrap()),
        &web.tls,
        hostile.server(),
    );
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
}

#[test]
fn an_expired_certificate_is_refused() {
    let mesh = Mesh::new();
    let mut hostile = peer(&mesh);
    let yesterday = Validity {
        not_before: START - DAY,
        not_after: START - 1,
    };
    (hostile.leaf, _) = mesh.leaf(&hostile.key, &id("eve"), yesterday);
    assert_refused(&mesh, &hostile, Alert::CertificateExpired, "expired at");
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused() {
    let mesh = Mesh::new();
    let mut hostile = peer(&mesh);
    let tomorrow = Validity {
        not_before: START + DAY,
        not_after: START + 2 * DAY,
    };
    (hostile.leaf, _) = mesh.leaf(&hostile.key, &id("eve"), tomorrow);
    let words = "valid from 1767312000 and it is 1767225600";
    assert_refused(&mesh, &hostile, Alert::CertificateExpired, words);
}

#[test]
fn a_certificate_of_another_trust_domain_is_refused() {
    let (mesh, other) = (Mesh::new(), Mesh::of("other.test"));
    let mut hostile = peer(&mesh);
    let foreign = "spiffe://other.test/ns/shop/sa/eve".parse().unwrap();
    (hostile.leaf, _) = other.leaf(&hostile.key, &foreign, today());
    assert_refused(&mesh, &hostile, Alert::UnknownCA, "neither ours");
}

#[test]
fn a_certificate_of_an_unknown_root_is_refused() {
    let (mesh, impostor) = (Mesh::new(), Mesh::new());
    let mut hostile = peer(&mesh);
    (hostile.leaf, _) = impostor.leaf(&hostile.key, &id("eve"), today());
    let words = "a root that is not in the trust bundle";
    assert_refused(&mesh, &hostile, Alert::UnknownCA, words);
}

#[test]
fn a_certificate_with_a_nul_in_its_name_is_refused() {
    let mesh = Mesh::new();
    let mut hostile = peer(&mesh);
    let uri = forge::uris(&[b"spiffe://mesh.test/ns/shop/sa/eve\0"]);
    hostile.leaf = Forgery::of(&hostile.leaf)
        .changing(forge::SUBJECT_ALT_NAME, true, &uri)
        .sign(mesh.ca.key());
    assert_refused(&mesh, &hostile, Alert::BadCertificate, "NUL");
}

#[test]
fn a_classical_only_certificate_is_refused() {
    let mesh = Mesh::new();
    let mut hostile = peer(&mesh);
    hostile.leaf = Forgery::of(&hostile.leaf)
        .without(oid::SUBJECT_ALT_PUBLIC_KEY_INFO)
        .without(oid::ALT_SIGNATURE_ALGORITHM)
        .without(oid::ALT_SIGNATURE_VALUE)
        .sign_ed25519(mesh.ca.key());
    let words = "it has no SubjectAltPublicKeyInfo";
    assert_refused(&mesh, &hostile, Alert::BadCertificate, words);
}

#[test]
fn a_certificate_stripped_of_its_falcon_signature_is_refused() {
    let mesh = Mesh::new();
    let mut hostile = peer(&mesh);
    hostile.leaf = Forgery::of(&hostile.leaf)
        .without(oid::ALT_SIGNATURE_VALUE)
        .sign_ed25519(mesh.ca.key());
    assert_refused(&mesh, &hostile, Alert::BadCertificate, "AltSignatureValue");
}

#[test]
fn a_certificate_with_a_swapped_falcon_signature_is_refused() {
    let mesh = Mesh::new();
    let mut hostile = peer(&mesh);
    let other = Forgery::of(&peer(&mesh).leaf).extension(oid::ALT_SIGNATURE_VALUE);
    hostile.leaf = Forgery::of(&hostile.leaf)
        .changing(oid::ALT_SIGNATURE_VALUE, false, &other)
        .sign_ed25519(mesh.ca.key());
    let words = "FALCON signature (AltSignatureValue) does not verify";
    assert_refused(&mesh, &hostile, Alert::BadCertificate, words);
}

#[test]
fn a_revoked_certificate_is_refused() {
    let mesh = Mesh::new();
    let (web, eve) = (mesh.workload("web"), mesh.workload("eve"));
    let mut trust = mesh.trust();
    trust.revoke(&eve.serial);
    web.tls.set_trust(trust);
    let mut pair = Pair::dial(&eve.tls, &web.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    let (code, reason) = pair.server.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::CertificateRevoked)));
    assert!(reason.contains("is revoked"), "{reason}");
    let mut pair = Pair::dial(&web.tls, &eve.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    assert_eq!(pair.client.refusal(), (code, reason));
}

#[test]
fn a_valid_certificate_of_another_workload_is_refused_by_the_dialler() {
    let mesh = Mesh::new();
    let (web, eve) = (mesh.workload("web"), mesh.workload("eve"));
    let mut pair = Pair::dial(&web.tls, &eve.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    let (code, reason) = pair.client.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::AccessDenied)));
    assert!(
        reason.contains("sa/eve, not spiffe://mesh.test/ns/shop/sa/db"),
        "{reason}"
    );
    assert!(!pair.client.is_connected() && !pair.server.is_connected());
    assert_eq!(
        pair.server.evidence().peer,
        None,
        "nothing of ours was shown"
    );
}

#[test]
fn signing_the_handshake_with_anything_but_both_keys_is_refused() {
    let mesh = Mesh::new();
    for signing in [
        Signing::Stripped,
        Signing::FalconOf(key()),
        Signing::Ed25519Of(key()),
        Signing::Unlabelled,
    ] {
        let mut hostile = peer(&mesh);
        hostile.signing = signing;
        let words = "does not hold both keys of its certificate";
        assert_refused(&mesh, &hostile, Alert::DecryptError, words);
    }
}

#[test]
fn signing_the_handshake_with_ed25519_alone_is_refused() {
    let mesh = Mesh::new();
    let mut hostile = peer(&mesh);
    hostile.signing = Signing::Ed25519;
    let words = "SignedHandshakeWithUnadvertisedSigScheme";
    assert_refused(&mesh, &hostile, Alert::IllegalParameter, words);
}

#[test]
fn the_other_falcon_degree_is_refused_unless_it_is_accepted() {
    let mesh = Mesh::new();
    let small = HybridKey::generate(CryptoProfile::Hybrid512, &mut OsRng);
    let (leaf, _) = mesh.leaf(&small, &id("eve"), today());
    let hostile = Hostile::new(small, leaf);
    let words = "SignedHandshakeWithUnadvertisedSigScheme";
    assert_refused(&mesh, &hostile, Alert::IllegalParameter, words);
}

#[test]
fn a_peer_that_offers_only_classical_groups_is_refused() {
    let mesh = Mesh::new();
    let web = mesh.workload("web");
    let mut hostile = peer(&mesh);
    hostile.group = kx_group::X25519;
    let mut pair = Pair::with(
        &web.tls,
        hostile.client(),
        &web.tls,
        web.tls.server_config(ServerRole::Mesh),
    );
    pair.settle();
    let (code, reason) = pair.server.refusal();
    assert_eq!(code, 0x100 + u64::from(u8::from(Alert::HandshakeFailure)));
    assert!(reason.contains("X25519MLKEM768 is required"), "{reason}");
    // Towards such a server our hello has nothing it can use: it gives up.
    let mut pair = Pair::with(
        &web.tls,
        web.tls
            .client_config(Expect::AnyInMesh, crate::pair::SERVER.parse().unwrap()),
        &web.tls,
        hostile.server(),
    );
    pair.settle();
    assert!(pair.server.lost().is_some() && pair.client.lost().is_some());
    assert!(!pair.client.is_connected());
}

#[test]
fn a_peer_that_accepts_only_classical_signatures_is_refused() {
    let mesh = Mesh::new();
    let web = mesh.workload("web");
    let mut hostile = peer(&mesh);
    hostile.accepts = vec![SignatureScheme::ED25519];
    let mut pair = Pair::with(
        &web.tls,
        hostile.client(),
        &web.tls,
        web.tls.server_config(ServerRole::Mesh),
    );
    pair.settle();
    let (_, reason) = pair.server.refusal();
    assert!(
        reason.contains("Ed25519 with FALCON is required"),
        "{reason}"
    );
}

#[test]
fn a_peer_of_another_protocol_is_refused() {
    let mesh = Mesh::new();
    let web = mesh.workload("web");
    let mut hostile = peer(&mesh);
    hostile.alpn = b"h3";
    let mut pair = Pair::with(
        &web.tls,
        hostile.client(),
        &web.tls,
        web.tls.server_config(ServerRole::Mesh),
    );
    pair.settle();
    let (code, reason) = pair.server.refusal();
    assert_eq!(
        code,
        0x100 + u64::from(u8::from(Alert::NoApplicationProtocol))
    );
    assert!(reason.contains("stoq/1"), "{reason}");
}

#[test]
fn ends_with_different_ciphers_find_nothing_in_common() {
    let mesh = Mesh::new();
    let aead = |aead| TlsSettings {
        aead,
        ..TlsSettings::default()
    };
    let web = mesh.workload_with("web", today(), aead(Aead::Aes128Gcm));
    let db = mesh.workload_with("db", today(), aead(Aead::Aes256Gcm));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    let (_, reason) = pair.server.refusal();
    assert!(reason.contains("packet cipher"), "{reason}");
}

#[test]
fn a_client_without_a_certificate_is_refused_by_the_mesh() {
    let mesh = Mesh::new();
    let db = mesh.workload("db");
    let newcomer = mesh.newcomer();
    let mut pair = Pair::dial(&newcomer, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    let (code, reason) = pair.server.refusal();
    assert_eq!(
        code,
        0x100 + u64::from(u8::from(Alert::CertificateRequired))
    );
    assert!(reason.contains("udp port 14012"), "{reason}");
}

#[test]
fn nobody_is_trusted_before_the_bundle_arrives_and_nobody_answers_without_an_identity() {
    let mesh = Mesh::new();
    let db = mesh.workload("db");
    let blank = TlsContext::new(TlsSettings::default(), mesh.clock.clone());
    let mut pair = Pair::dial(&blank, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    let (_, reason) = pair.client.refusal();
    assert!(reason.contains("no trust bundle has arrived"), "{reason}");
    let mut pair = Pair::dial(&db.tls, &blank, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    assert!(!pair.client.is_connected() && pair.server.lost().is_some());
}
