//! Full handshakes between two workloads.

use rand_core::OsRng;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::kx_group;
use stoq_core::authorise::{Expect, Peer};
use stoq_core::cert::{CertificateError, Validity};
use stoq_core::key::HybridKey;
use stoq_core::profile::CryptoProfile;
use stoq_core::tls::{Aead, IdentityError, ServerRole, TlsSettings};

use crate::hostile::{Hostile, Signing};
use crate::mesh::{DAY, Mesh, START, id, today};
use crate::pair::{Pair, SERVER};

#[test]
fn two_workloads_authenticate_each_other_with_both_signatures() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
    let (client, server) = (pair.client.evidence(), pair.server.evidence());
    for evidence in [&client, &server] {
        assert_eq!(evidence.key_exchange, "X25519MLKEM768");
        assert_eq!(evidence.peer_signature, "Ed25519+FALCON-1024");
        assert_eq!(evidence.local_signature, "Ed25519+FALCON-1024");
        assert_eq!(evidence.cipher, "AES-256-GCM");
        assert_eq!(evidence.profile, CryptoProfile::Hybrid1024);
        assert!(!evidence.resumed);
        assert_eq!(evidence.stoq.as_ref().unwrap().revision, 1);
    }
    assert_eq!(client.peer.unwrap().spiffe, id("db"));
    assert_eq!(server.peer.unwrap().spiffe, id("web"));
    assert_eq!(pair.send(b"hello"), b"hello");
}

#[test]
fn a_full_handshake_takes_one_round_trip_and_the_servers_flight_fits_the_credit() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.client_speaks();
    let hello: usize = pair.client.sent.iter().sum();
    assert_eq!(pair.client.sent.len(), 2, "{:?}", pair.client.sent);
    pair.server_speaks();
    let flight: usize = pair.server.sent.iter().sum();
    assert!(flight <= 6900, "the server's flight has {flight} bytes");
    assert!(
        flight <= 3 * hello,
        "{flight} bytes for a credit of 3 x {hello}"
    );
    pair.client_speaks();
    assert!(pair.client.is_connected());
    assert_eq!(pair.round_trips, 1);
    pair.server_speaks();
    assert!(pair.server.is_connected());
}

#[test]
fn other_suites_are_negotiated_and_reported() {
    let mesh = Mesh::new();
    for (profile, key_exchange, signature) in [
        (
            CryptoProfile::Hybrid512,
            "X25519MLKEM768",
            "Ed25519+FALCON-512",
        ),
        (CryptoProfile::Classical, "X25519", "Ed25519"),
    ] {
        let settings = TlsSettings {
            profile,
            aead: Aead::Aes128Gcm,
            ..TlsSettings::default()
        };
        let web = mesh.workload_with("web", today(), settings.clone());
        let db = mesh.workload_with("db", today(), settings);
        let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
        pair.settle();
        assert!(pair.server.is_connected());
        for evidence in [pair.client.evidence(), pair.server.evidence()] {
            assert_eq!(evidence.key_exchange, key_exchange);
            assert_eq!(evidence.peer_signature, signature);
            assert_eq!(evidence.local_signature, signature);
            assert_eq!(evidence.cipher, "AES-128-GCM");
            assert_eq!(evidence.profile, profile);
        }
    }
}

/// rustls and quinn-proto's own session, as others use them.
#[test]
fn a_plain_quic_stack_shakes_hands_and_transfers_where_classical_is_allowed() {
    let mesh = Mesh::new();
    let settings = TlsSettings {
        profile: CryptoProfile::Classical,
        ..TlsSettings::default()
    };
    let web = mesh.workload_with("web", today(), settings);
    let key = HybridKey::generate(CryptoProfile::Hybrid1024, &mut OsRng);
    let (leaf, _) = mesh.leaf(&key, &id("plain"), today());
    let mut plain = Hostile::new(key, leaf);
    plain.signing = Signing::Ed25519;
    plain.group = kx_group::X25519;
    plain.accepts = vec![SignatureScheme::ED25519];
    let ours = web.tls.server_config(ServerRole::Mesh);
    let mut dialled = Pair::with(&web.tls, plain.client(), &web.tls, ours);
    let expect = Expect::Id(id("plain"));
    let ours = web.tls.client_config(expect, SERVER.parse().unwrap());
    let mut dialling = Pair::with(&web.tls, ours, &web.tls, plain.server());
    for pair in [&mut dialled, &mut dialling] {
        pair.settle();
        assert!(pair.client.is_connected() && pair.server.is_connected());
        assert_eq!(pair.send(b"over plain QUIC"), b"over plain QUIC");
    }
    let evidence = dialled.server.evidence();
    assert_eq!(evidence.peer.unwrap().spiffe, id("plain"));
    assert_eq!(evidence.stoq, None);
}

#[test]
fn where_both_degrees_are_accepted_the_weaker_profile_is_reported() {
    let mesh = Mesh::new();
    let settings = |profile| TlsSettings {
        profile,
        accept_other_degree: true,
        ..TlsSettings::default()
    };
    let web = mesh.workload_with("web", today(), settings(CryptoProfile::Hybrid1024));
    let db = mesh.workload_with("db", today(), settings(CryptoProfile::Hybrid512));
    for (client, server) in [(&web, &db), (&db, &web)] {
        let expect = Expect::AnyInMesh;
        let mut pair = Pair::dial(&client.tls, &server.tls, ServerRole::Mesh, expect);
        pair.settle();
        assert!(pair.server.is_connected());
        for evidence in [pair.client.evidence(), pair.server.evidence()] {
            assert_eq!(evidence.profile, CryptoProfile::Hybrid512);
            assert_ne!(evidence.peer_signature, evidence.local_signature);
        }
    }
}

#[test]
fn a_newcomer_without_a_certificate_reaches_the_bootstrap_listener() {
    let mesh = Mesh::new();
    let operator = mesh.workload("operator");
    let newcomer = mesh.newcomer();
    let expect = Expect::Id(id("operator"));
    let mut pair = Pair::dial(&newcomer, &operator.tls, ServerRole::Bootstrap, expect);
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
    let (client, server) = (pair.client.evidence(), pair.server.evidence());
    assert_eq!(client.peer.unwrap().spiffe, id("operator"));
    assert_eq!(client.local_signature, "none");
    assert_eq!(server.peer, None);
    assert_eq!(server.peer_signature, "none");
    let identity = pair.server.connection().crypto_session().peer_identity();
    assert!(identity.is_none());
    let binding = b"EXPORTER-stoq-bootstrap";
    assert_eq!(
        pair.client.export(binding, b""),
        pair.server.export(binding, b"")
    );
}

#[test]
fn a_workload_with_a_certificate_is_known_at_the_bootstrap_listener() {
    let mesh = Mesh::new();
    let (web, operator) = (mesh.workload("web"), mesh.workload("operator"));
    let expect = Expect::AnyInMesh;
    let mut pair = Pair::dial(&web.tls, &operator.tls, ServerRole::Bootstrap, expect);
    pair.settle();
    assert_eq!(pair.server.evidence().peer.unwrap().spiffe, id("web"));
    let identity = pair.server.connection().crypto_session().peer_identity();
    let peer: Box<Peer> = identity.unwrap().downcast().unwrap();
    assert_eq!(peer.serial, web.serial);
}

#[test]
fn a_workload_whose_certificate_ran_out_can_ask_for_a_new_one() {
    let mesh = Mesh::new();
    let web = mesh.workload("web");
    let long = Validity {
        not_after: START + 7 * DAY,
        ..today()
    };
    let operator = mesh.workload_with("operator", long, TlsSettings::default());
    assert!(web.tls.has_identity());
    mesh.clock.advance(2 * DAY);
    assert!(!web.tls.has_identity());
    let expect = Expect::Id(id("operator"));
    let mut pair = Pair::dial(
        &web.tls,
        &operator.tls,
        ServerRole::Bootstrap,
        expect.clone(),
    );
    pair.settle();
    assert!(pair.server.is_connected());
    assert_eq!(pair.server.evidence().peer, None);
    assert_eq!(pair.client.evidence().local_signature, "none");
    let mut pair = Pair::dial(&web.tls, &operator.tls, ServerRole::Mesh, expect);
    pair.settle();
    let (_, reason) = pair.server.refusal();
    assert!(reason.contains("the peer has no certificate"), "{reason}");
}

#[test]
fn a_live_peer_is_refused_once_it_is_revoked_or_its_time_is_over() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.settle();
    let peer = pair.server.evidence().peer.unwrap();
    let expect = ServerRole::Mesh.expect();
    assert_eq!(db.tls.reauthorise(&peer, &expect), Ok(()));
    mesh.clock.advance(DAY + 1);
    let refusal = db.tls.reauthorise(&peer, &expect).unwrap_err();
    assert_eq!(refusal.name(), "expired");
    let mut trust = mesh.trust();
    trust.revoke(&web.serial);
    db.tls.set_trust(trust);
    let refusal = db.tls.reauthorise(&peer, &expect).unwrap_err();
    assert_eq!(refusal.name(), "revoked");
}

#[test]
fn an_identity_that_does_not_fit_is_not_taken() {
    let mesh = Mesh::new();
    let tls = mesh.newcomer();
    let key = |profile| HybridKey::generate(profile, &mut OsRng);
    let (big, small) = (
        key(CryptoProfile::Hybrid1024),
        key(CryptoProfile::Hybrid512),
    );
    let (leaf, _) = mesh.leaf(&big, &id("web"), today());
    let error = tls.set_identity(small.clone(), leaf).unwrap_err();
    assert_eq!(
        error,
        IdentityError::Certificate(CertificateError::OtherKey)
    );
    let (leaf, _) = mesh.leaf(&small, &id("web"), today());
    let error = tls.set_identity(small, leaf).unwrap_err();
    assert_eq!(
        error.to_string(),
        "our own key is FALCON-512 but crypto profile hybrid-1024 requires FALCON-1024"
    );
    assert!(tls.set_identity(big, vec![0]).is_err());
    assert!(format!("{tls:?}").contains("has_identity: false"));
}
