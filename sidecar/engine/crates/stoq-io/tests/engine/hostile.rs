//! What anybody can send to the port.

use std::io::{Read, Write};
use std::net::UdpSocket;

use crate::mesh::{Mesh, accept, application};
use crate::net::{DB, OUTSIDE, in_namespace};

/// Relays a little on an existing and on a new connection.
fn still_works(mesh: &Mesh, listener: &std::net::TcpListener) {
    let mut client = mesh.dial();
    let mut server = accept(listener);
    client.write_all(b"still there?").unwrap();
    let mut heard = [0; 12];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still there?");
}

fn stranger() -> UdpSocket {
    let socket = UdpSocket::bind(format!("[{OUTSIDE}]:0")).unwrap();
    socket.connect(format!("[{DB}]:14008")).unwrap();
    socket
}

/// A number that looks like any other (SplitMix64).
fn scramble(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

#[test]
fn garbage_of_every_length_changes_nothing() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        still_works(&mesh, &listener);
        let socket = stranger();
        let mut seed = 1;
        for length in 0..1500usize {
            let garbage: Vec<u8> = (0..length).map(|_| scramble(&mut seed) as u8).collect();
            // The queue may be full: that is the kernel's answer to a flood.
            let _ = socket.send(&garbage);
        }
        still_works(&mesh, &listener);
        assert_eq!(mesh.db.connections().len(), 1);
    });
}

#[test]
fn empty_datagrams_do_not_starve_the_others() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        still_works(&mesh, &listener);
        let socket = stranger();
        let flood = std::thread::spawn(move || {
            for _ in 0..50_000 {
                let _ = socket.send(&[]);
            }
        });
        still_works(&mesh, &listener);
        flood.join().unwrap();
        still_works(&mesh, &listener);
    });
}

#[test]
fn initials_that_never_go_on_are_bounded_and_let_others_through() {
    in_namespace(|| {
        let limits = serde_json::json!({"limits": {"handshakes": 8, "handshakes_before_retry": 8}});
        let mesh = Mesh::with(serde_json::json!({}), limits);
        let listener = application();
        still_works(&mesh, &listener);
        let socket = stranger();
        let mut seed = 2;
        for _ in 0..200 {
            // A long header of version 1 with an Initial's length, and noise.
            let mut initial = vec![0xc3, 0, 0, 0, 1, 8];
            initial.extend_from_slice(&scramble(&mut seed).to_be_bytes());
            initial.extend_from_slice(&[0, 0, 0x44, 0x9e]);
            initial.resize_with(1200, || scramble(&mut seed) as u8);
            let _ = socket.send(&initial);
        }
        still_works(&mesh, &listener);
        let counters = mesh.db.snapshot().counters;
        assert_eq!(counters.handshakes_completed, 1);
    });
}

#[test]
fn above_the_threshold_a_client_proves_its_address_first() {
    in_namespace(|| {
        let limits = serde_json::json!({"limits": {"handshakes_before_retry": 0}});
        let mesh = Mesh::with(serde_json::json!({}), limits);
        let listener = application();
        still_works(&mesh, &listener);
        assert!(mesh.db.snapshot().counters.retries_sent >= 1);
    });
}

#[test]
fn connections_beyond_the_limit_are_refused() {
    in_namespace(|| {
        let limits = serde_json::json!({"limits": {"connections": 0}});
        let mesh = Mesh::with(serde_json::json!({}), limits);
        let mut client = mesh.dial();
        assert!(client.read(&mut [0]).is_err());
        assert!(mesh.db.snapshot().counters.handshakes_refused >= 1);
    });
}
