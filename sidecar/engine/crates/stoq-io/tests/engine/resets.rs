//! Connections that break instead of ending.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::mesh::{Mesh, accept, application, eventually};
use crate::net::in_namespace;

/// Closes by RST.
fn abort(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

fn reset_seen(stream: &mut TcpStream) {
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_by_the_client_reaches_the_server() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        abort(client);
        reset_seen(&mut server);
    });
}

#[test]
fn a_reset_by_the_server_reaches_the_client() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let server = accept(&listener);
        abort(server);
        reset_seen(&mut client);
    });
}

#[test]
fn a_reset_while_bytes_wait_for_the_other_side_frees_everything() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let client = mesh.dial();
        let mut server = accept(&listener);
        server.set_nonblocking(true).unwrap();
        let piece = vec![7; 65_536];
        // Until every buffer on the way is full.
        let mut full = 0;
        while full < 20 {
            match server.write(&piece) {
                Ok(written) => full = if written > 0 { 0 } else { full + 1 },
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    full += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        abort(client);
        eventually(
            "the server sees the reset",
            || matches!(server.write(&piece), Err(e) if e.kind() != ErrorKind::WouldBlock),
        );
        eventually("no relay is left", || {
            mesh.web.snapshot().gauges.relays == 0 && mesh.db.snapshot().gauges.relays == 0
        });
        let mut again = mesh.dial();
        let mut server = accept(&listener);
        again.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn a_client_that_leaves_after_its_request_takes_no_other_with_it() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut other = mesh.dial();
        let mut other_server = accept(&listener);
        for _ in 0..50 {
            let mut client = mesh.dial();
            let server = accept(&listener);
            client.write_all(b"GET").unwrap();
            abort(client);
            drop(server);
        }
        other.write_all(b"fine").unwrap();
        let mut heard = [0; 4];
        other_server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"fine");
    });
}
