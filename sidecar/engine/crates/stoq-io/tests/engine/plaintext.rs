//! Plaintext, where the policy lets it through.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use serde_json::json;

use crate::mesh::{Mesh, PATIENCE, accept, application, table_with};
use crate::net::{DB, OUTSIDE, in_namespace, nft};

/// Sends what goes to the server's application to its engine instead, as capture does.
fn capture_inbound() {
    let rules = format!(
        "table inet t {{ chain c {{ type nat hook output priority -100;
           ip6 saddr {OUTSIDE} ip6 daddr {DB} tcp dport 7000 redirect to :14006
         }}
         }}"
    );
    nft(&rules);
}

fn dial_from_outside() -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    let bind: std::net::SocketAddr = format!("[{OUTSIDE}]:0").parse().unwrap();
    let to: std::net::SocketAddr = format!("[{DB}]:7000").parse().unwrap();
    socket.bind(&bind.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The output chain redirects to loopback's own address: listen everywhere.
fn mesh() -> Mesh {
    Mesh::with(json!({}), json!({"inbound": {"listen": "[::]:14006"}}))
}

#[test]
fn permissive_lets_unmeshed_clients_in_and_counts_them() {
    in_namespace(|| {
        let mesh = mesh();
        capture_inbound();
        let listener = application();
        let mut client = dial_from_outside();
        let mut server = accept(&listener);
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"hello");
        server.write_all(&vec![9; 1_000_000]).unwrap();
        drop(server);
        heard.clear();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), 1_000_000);
        assert_eq!(mesh.db.snapshot().counters.plaintext_permitted, 1);
    });
}

#[test]
fn access_policies_hold_for_plaintext_too_when_a_connection_begins_and_later() {
    in_namespace(|| {
        let mesh = mesh();
        let table = |rules| table_with("db-0", DB, json!({"access": rules, "version": 2}));
        let everyone = json!([{"policy": "shop/all", "action": "allow"}]);
        let nobody = json!([{"policy": "shop/mesh", "action": "allow", "namespaces": ["shop"]}]);
        mesh.db.set_table(table(everyone));
        capture_inbound();
        let listener = application();
        let mut client = dial_from_outside();
        let _server = accept(&listener);
        mesh.db.set_table(table(nobody));
        assert!(client.read(&mut [0]).is_err(), "an open connection goes on");
        let mut client = dial_from_outside();
        assert!(client.read(&mut [0]).is_err(), "a new connection is let in");
        assert_eq!(mesh.db.snapshot().refused["access_denied"], 1);
        let said = mesh.db.snapshot().access;
        let flows = said
            .iter()
            .find(|s| s.action == "not_allowed")
            .map(|s| s.flows);
        assert_eq!(flows, Some(2), "{said:?}");
    });
}

#[test]
fn strict_resets_them() {
    in_namespace(|| {
        let mesh = mesh();
        mesh.db
            .set_table(table_with("db-0", DB, json!({"inbound": "strict"})));
        capture_inbound();
        let listener = application();
        listener.set_nonblocking(true).unwrap();
        let mut client = dial_from_outside();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(listener.accept().is_err());
        assert_eq!(mesh.db.snapshot().refused["plaintext_strict"], 1);
    });
}

#[test]
fn a_port_of_a_strict_workload_that_is_open_takes_them() {
    in_namespace(|| {
        let mesh = mesh();
        let open = json!({"inbound": "strict", "ports": [{"port": 7000, "inbound": "permissive"}]});
        mesh.db.set_table(table_with("db-0", DB, open));
        capture_inbound();
        let listener = application();
        let mut client = dial_from_outside();
        let mut server = accept(&listener);
        server.write_all(b"220").unwrap();
        client.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(mesh.db.snapshot().counters.plaintext_permitted, 1);
    });
}

#[test]
fn destinations_outside_the_mesh_are_passed_through_or_refused() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let outside = TcpListener::bind(format!("[{OUTSIDE}]:7000")).unwrap();
        let endpoints = json!([{
            "name": "db", "namespace": "shop", "vips": [crate::net::VIP],
            "ports": [{"port": 5000, "target": 7000}],
            "endpoints": [{"address": OUTSIDE, "weight": 1}],
        }]);
        let more = json!({"services": endpoints.clone()});
        mesh.web
            .set_table(table_with("web-0", crate::net::WEB, more));
        let mut client = mesh.dial();
        let mut server = accept(&outside);
        server.write_all(b"220").unwrap();
        client.read_exact(&mut [0; 3]).unwrap();
        let more = json!({"services": endpoints.clone(), "outbound": "meshOnly"});
        mesh.web
            .set_table(table_with("web-0", crate::net::WEB, more));
        let mut client = mesh.dial();
        assert!(client.read(&mut [0]).is_err());
        assert_eq!(mesh.web.snapshot().counters.passthrough, 1);
        let ports = json!([{"port": 7000, "outbound": "allow"}]);
        let more = json!({"services": endpoints, "outbound": "meshOnly", "ports": ports});
        mesh.web
            .set_table(table_with("web-0", crate::net::WEB, more));
        let _client = mesh.dial();
        accept(&outside);
        assert_eq!(mesh.web.snapshot().counters.passthrough, 2);
    });
}
