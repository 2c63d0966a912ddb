//! Connections to peers: one for all flows, and what happens when there is none.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::mesh::{Authority, Mesh, accept, application, dial, eventually, start, table};
use crate::net::{DB, VIP, WEB, in_namespace, ip};

#[test]
fn many_flows_at_once_dial_once() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    let mut client = mesh.dial();
                    client.write_all(b"x").unwrap();
                    client.read_exact(&mut [0]).unwrap();
                });
            }
            for _ in 0..40 {
                let mut server = accept(&listener);
                server.read_exact(&mut [0]).unwrap();
                server.write_all(b"y").unwrap();
            }
        });
        let counters = mesh.web.snapshot().counters;
        assert_eq!(counters.connections_dialled, 1);
        assert_eq!(counters.handshakes_completed, 1);
    });
}

#[test]
fn a_connection_without_streams_is_closed_after_its_idle_time() {
    in_namespace(|| {
        let mesh = Mesh::with(json!({"pool": {"idle_ms": 200}}), json!({}));
        let listener = application();
        let client = mesh.dial();
        let server = accept(&listener);
        thread::sleep(Duration::from_millis(500));
        assert_eq!(mesh.web.connections().len(), 1, "a connection in use stays");
        drop((client, server));
        eventually("both sides have closed", || {
            mesh.web.snapshot().gauges.connections == 0
                && mesh.db.snapshot().gauges.connections == 0
        });
        let closed = mesh.web.snapshot().connections_closed;
        assert_eq!(closed["idle"], 1);
    });
}

#[test]
fn more_streams_than_a_connection_should_carry_get_another() {
    in_namespace(|| {
        let pool = json!({"streams_per_connection": 2, "connections_per_peer": 2});
        let mesh = Mesh::with(json!({"pool": pool}), json!({}));
        let listener = application();
        let flows: Vec<_> = (0..6)
            .map(|_| {
                let mut client = mesh.dial();
                let mut server = accept(&listener);
                client.write_all(b"x").unwrap();
                server.read_exact(&mut [0]).unwrap();
                (client, server)
            })
            .collect();
        assert_eq!(mesh.web.connections().len(), 2);
        drop(flows);
    });
}

#[test]
fn streams_beyond_the_peers_first_allowance_are_allowed_in_turn() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut flows = Vec::new();
        for _ in 0..300 {
            let mut client = mesh.dial();
            let mut server = accept(&listener);
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0]).unwrap();
            flows.push((client, server));
        }
        assert_eq!(mesh.web.connections().len(), 1);
    });
}

#[test]
fn a_peer_that_does_not_answer_resets_the_client_and_is_never_reached_in_plaintext() {
    in_namespace(|| {
        let authority = Authority::new();
        let settings = json!({
            "name": "web-0", "workers": 1,
            "stoq": {"listen": format!("[{WEB}]:14008")},
            "outbound": {"listen": format!("[{VIP}]:5000")},
            "transport": {"dial_timeout_ms": 300},
        });
        let web = start(settings, authority.workload("web"));
        web.set_table(table("web-0", WEB));
        let silent = UdpSocket::bind(format!("[{DB}]:14008")).unwrap();
        let listener = application();
        listener.set_nonblocking(true).unwrap();
        let begun = Instant::now();
        let mut client = dial();
        assert!(client.read(&mut [0]).is_err());
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(listener.accept().is_err(), "plaintext reached the peer");
        let snapshot = web.snapshot();
        assert_eq!(snapshot.counters.dials_failed, 1);
        assert_eq!(snapshot.flows[0].failed, [("NETWORK_POLICY", 1)]);
        drop(silent);
        web.shutdown();
    });
}

#[test]
fn a_peer_that_falls_silent_is_dialled_again_for_new_flows() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let old = mesh.dial();
        let old_server = accept(&listener);
        // Whatever the server's engine sends is lost; its application is on loopback
        // too, so only what comes from its STOQ port is.
        ip(&["-6", "route", "add", "blackhole", "fd00::ff"]);
        mesh.db.shutdown();
        drop((old, old_server));
        let settings = json!({
            "name": "db-0", "workers": 1, "stoq": {"listen": format!("[{DB}]:14008")},
        });
        let db = start(settings, mesh.authority.workload("db"));
        db.set_table(table("db-0", DB));
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        db.shutdown();
    });
}
