//! The rest of what quinn-proto asks of a session: key updates, exporters,
//! Retry, versions.

use std::sync::Arc;

use quinn_proto::crypto::{ExportKeyingMaterialError, Session};
use quinn_proto::{ConnectError, ConnectionId, TransportErrorCode};
use stoq_core::authorise::Expect;
use stoq_core::session::Evidence;
use stoq_core::tls::ServerRole;

use crate::mesh::{Mesh, Workload, id};
use crate::pair::{Pair, SERVER, quic_parameters, shaken};

fn workloads() -> (Mesh, Workload, Workload) {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    (mesh, web, db)
}

fn connected() -> Pair {
    let (_mesh, web, db) = workloads();
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    pair
}

#[test]
fn keys_are_updated_and_data_goes_on() {
    let mut pair = connected();
    for _ in 0..3 {
        assert_eq!(pair.send(b"before"), b"before");
        pair.client.connection().force_key_update();
        assert_eq!(pair.send(b"after"), b"after");
    }
    assert!(pair.client.lost().is_none() && pair.server.lost().is_none());
}

#[test]
fn both_ends_export_the_same_secret_and_another_for_each_label_and_context() {
    let mut pair = connected();
    let secret = pair.client.export(b"EXPORTER-stoq-test", b"context");
    assert_eq!(
        secret,
        pair.server.export(b"EXPORTER-stoq-test", b"context")
    );
    assert_ne!(secret, pair.server.export(b"EXPORTER-stoq-test", b"other"));
    assert_ne!(
        secret,
        pair.server.export(b"EXPORTER-stoq-other", b"context")
    );
    assert_ne!(
        secret,
        connected().client.export(b"EXPORTER-stoq-test", b"context")
    );
}

#[test]
fn an_export_beyond_what_hkdf_gives_is_an_error() {
    let mut pair = connected();
    for end in [&mut pair.client, &mut pair.server] {
        let session = end.connection().crypto_session();
        let mut out = vec![0; 255 * 48];
        let exported = session.export_keying_material(&mut out, b"EXPORTER-stoq-test", b"");
        assert_eq!(exported, Ok(()));
        out.push(0);
        let exported = session.export_keying_material(&mut out, b"EXPORTER-stoq-test", b"");
        assert_eq!(exported, Err(ExportKeyingMaterialError));
    }
}

#[test]
fn a_server_has_no_room_for_a_label_of_more_than_249_bytes() {
    let mut pair = connected();
    let longest = [b'x'; 249];
    assert_eq!(
        pair.client.export(&longest, b""),
        pair.server.export(&longest, b"")
    );
    let session = pair.server.connection().crypto_session();
    assert_eq!(
        session.export_keying_material(&mut [0; 32], &[b'x'; 250], b""),
        Err(ExportKeyingMaterialError)
    );
}

#[test]
fn a_certificate_is_kept_where_it_may_be_shown_and_not_at_the_bootstrap_listener() {
    let (_mesh, web, db) = workloads();
    for (role, kept) in [(ServerRole::Mesh, true), (ServerRole::Bootstrap, false)] {
        let mut pair = Pair::dial(&web.tls, &db.tls, role, Expect::Id(id("db")));
        pair.settle();
        let peer = pair.server.evidence().peer.unwrap();
        assert_eq!(peer.spiffe, id("web"));
        assert_eq!(!peer.leaf_der.is_empty(), kept);
        assert!(!pair.client.evidence().peer.unwrap().leaf_der.is_empty());
    }
}

#[test]
fn a_server_refuses_every_message_after_the_handshake() {
    let (_mesh, web, db) = workloads();
    // A KeyUpdate (RFC 9001, section 6), a request that only servers make, and no message at all.
    for message in [&[24, 0, 0, 1, 0][..], &[13, 0, 0, 3, 0, 0, 0], &[0xff; 9]] {
        let [_client, mut server] = shaken(&web, &db);
        let error = server.read_handshake(message).unwrap_err();
        assert_eq!(error.code, TransportErrorCode::crypto(10), "{error}");
        let mut more = Vec::new();
        assert!(server.write_handshake(&mut more).is_none() && more.is_empty());
    }
}

#[test]
fn a_server_whose_handshake_is_over_tells_what_it_told_at_its_end() {
    let (_mesh, web, db) = workloads();
    let [client, mut server] = shaken(&web, &db);
    let evidence = |session: &dyn Session| {
        let data = session.handshake_data().expect("negotiated");
        *data.downcast::<Arc<Evidence>>().unwrap()
    };
    let (ours, theirs) = (evidence(&*server), evidence(&*client));
    assert_eq!(ours.cipher, theirs.cipher);
    assert_eq!(ours.key_exchange, theirs.key_exchange);
    assert_eq!(
        ours.peer.as_ref().map(|peer| &peer.spiffe),
        Some(&id("web"))
    );
    assert!(Arc::ptr_eq(&ours, &evidence(&*server)), "it is kept once");
    assert!(server.peer_identity().is_some());
    assert!(!server.is_handshaking());
    assert!(server.next_1rtt_keys().is_some());
    assert!(matches!(server.transport_parameters(), Ok(None)));
}

#[test]
fn nothing_is_exported_or_known_before_the_handshake_is_over() {
    let (_mesh, web, _) = workloads();
    let config = web
        .tls
        .client_config(Expect::AnyInMesh, SERVER.parse().unwrap());
    let mut session = config
        .start_session(1, "unused", &quic_parameters())
        .unwrap();
    assert!(session.is_handshaking());
    assert!(session.handshake_data().is_none());
    assert!(session.peer_identity().is_none());
    assert!(session.early_crypto().is_none());
    assert_eq!(session.early_data_accepted(), Some(false));
    assert!(session.next_1rtt_keys().is_none());
    assert!(matches!(session.transport_parameters(), Ok(None)));
    let mut out = [0; 32];
    assert!(
        session
            .export_keying_material(&mut out, b"EXPORTER-x", b"")
            .is_err()
    );
}

#[test]
fn a_client_hello_names_no_server() {
    let (_mesh, web, _) = workloads();
    let config = web
        .tls
        .client_config(Expect::AnyInMesh, SERVER.parse().unwrap());
    let mut session = config
        .start_session(1, "secret.example.org", &quic_parameters())
        .unwrap();
    let mut hello = Vec::new();
    assert!(session.write_handshake(&mut hello).is_none());
    let name = b"secret.example.org";
    assert!(!hello.windows(name.len()).any(|window| window == name));
}

#[test]
fn an_unvalidated_address_is_sent_a_retry_before_anything_is_signed() {
    let (_mesh, web, db) = workloads();
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.server.retry = true;
    pair.client_speaks();
    assert!(pair.server.connection.is_none());
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
    assert_eq!(pair.send(b"hello"), b"hello");
}

#[test]
fn a_retry_that_was_changed_on_the_way_is_not_followed() {
    let (_mesh, web, db) = workloads();
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.server.retry = true;
    pair.client_speaks();
    pair.server.tamper();
    pair.settle();
    assert!(!pair.client.is_connected() && pair.server.connection.is_none());
}

#[test]
fn only_quic_version_1_is_spoken() {
    let (_mesh, web, db) = workloads();
    let server = db.tls.server_config(ServerRole::Mesh);
    let cid = ConnectionId::new(&[1; 8]);
    for version in [0, 2, 0xff00_001d, 0x6b33_43cf] {
        assert!(server.initial_keys(version, &cid).is_err());
        let client = web
            .tls
            .client_config(Expect::AnyInMesh, SERVER.parse().unwrap());
        let refused = client.start_session(version, "unused", &quic_parameters());
        assert_eq!(refused.err(), Some(ConnectError::UnsupportedVersion));
    }
    assert!(server.initial_keys(1, &cid).is_ok());
}

#[test]
fn garbage_in_the_handshake_is_an_error_with_a_reason() {
    let (_mesh, web, db) = workloads();
    let server = db.tls.server_config(ServerRole::Mesh);
    let mut session = server.start_session(1, &quic_parameters());
    let error = session.read_handshake(&[0xff; 64]).unwrap_err();
    assert!(error.reason.starts_with("TLS: "), "{error}");
    let config = web
        .tls
        .client_config(Expect::AnyInMesh, SERVER.parse().unwrap());
    let mut session = config
        .start_session(1, "unused", &quic_parameters())
        .unwrap();
    assert!(session.read_handshake(&[2, 0, 0, 1, 0]).is_err());
}
