//! The rest of what quinn-proto asks of a session: key updates, exporters,
//! Retry, versions.

use quinn_proto::crypto::ExportKeyingMaterialError;
use quinn_proto::{ConnectError, ConnectionId};
use stoq_core::authorise::Expect;
use stoq_core::tls::ServerRole;

use crate::mesh::{Mesh, Workload, id};
use crate::pair::{Pair, SERVER, quic_parameters};

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
    let mut out = vec![0; 255 * 48 + 1];
    let session = pair.client.connection().crypto_session();
    assert_eq!(
        session.export_keying_material(&mut out, b"EXPORTER-stoq-test", b""),
        Err(ExportKeyingMaterialError)
    );
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
