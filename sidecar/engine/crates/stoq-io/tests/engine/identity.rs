//! Who the peer is, before and while it is spoken to.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::mesh::{Authority, Mesh, accept, application, dial, eventually, start, table};
use crate::net::{DB, VIP, WEB, in_namespace};

#[test]
fn the_negotiated_suite_is_told() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let _client = mesh.dial();
        let _server = accept(&listener);
        for (engine, peer) in [(&mesh.web, "db"), (&mesh.db, "web")] {
            let connections = engine.connections();
            let [connection] = connections.as_slice() else {
                panic!("{connections:?}")
            };
            assert_eq!(connection.key_exchange, Some("X25519MLKEM768"));
            assert_eq!(connection.signature, Some("Ed25519+FALCON-1024"));
            assert_eq!(connection.cipher, Some("AES-256-GCM"));
            assert_eq!(
                connection.spiffe_id.as_deref(),
                Some(crate::mesh::id(peer).as_str())
            );
        }
    });
}

#[test]
fn a_pod_with_another_pods_valid_certificate_is_refused() {
    in_namespace(|| {
        let authority = Authority::new();
        let web = start(
            json!({
                "workers": 1, "stoq": {"listen": format!("[{WEB}]:14008")},
                "outbound": {"listen": format!("[{VIP}]:5000")},
            }),
            authority.workload("web"),
        );
        // Answers at db's address with a valid certificate of somebody else.
        let thief = start(
            json!({"workers": 1, "stoq": {"listen": format!("[{DB}]:14008")}}),
            authority.workload("other"),
        );
        web.set_table(table("web-0", WEB));
        thief.set_table(table("db-0", DB));
        let listener = application();
        listener.set_nonblocking(true).unwrap();
        let mut client = dial();
        assert!(client.read(&mut [0]).is_err());
        assert!(listener.accept().is_err(), "the flow went through");
        assert!(web.snapshot().counters.handshakes_failed >= 1);
        web.shutdown();
        thief.shutdown();
    });
}

#[test]
fn revocation_closes_live_connections() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let mut trust = mesh.authority.trust();
        trust.revoke(&mesh.db_serial);
        mesh.web_tls.set_trust(trust);
        mesh.web.reauthorise();
        assert!(client.read(&mut [0]).is_err());
        eventually("the close is counted", || {
            mesh.web.snapshot().connections_closed["revoked"] == 1
        });
        let mut again = mesh.dial();
        assert!(
            again.read(&mut [0]).is_err(),
            "a revoked peer was let in again"
        );
    });
}

#[test]
fn a_connection_ends_when_its_peers_certificate_does() {
    in_namespace(|| {
        let authority = Authority::new();
        let db_tls = authority.workload("db");
        let mesh = Mesh::of(authority, Arc::clone(&db_tls), json!({}), json!({}));
        let listener = application();
        // At last, so that all of its life is left for the handshake.
        mesh.authority
            .certify(&db_tls, "db", Duration::from_secs(6));
        let mut client = mesh.dial();
        let _server = accept(&listener);
        assert!(client.read(&mut [0]).is_err());
        eventually("the close is counted", || {
            mesh.web.snapshot().connections_closed["expired"] == 1
        });
    });
}
