//! What applications see of a relayed connection.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;

use crate::mesh::{Mesh, accept, application};
use crate::net::in_namespace;

/// Sends through the mesh and back again; how many bytes.
pub(crate) fn echoed(mesh: &Mesh) -> usize {
    let listener = application();
    let echo = thread::spawn(move || {
        let mut stream = accept(&listener);
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        stream.write_all(&received).unwrap();
    });
    let mut stream = mesh.dial();
    let sent: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(7919) >> 5) as u8)
        .collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(
        received == sent,
        "{} of {} bytes",
        received.len(),
        sent.len()
    );
    echo.join().unwrap();
    sent.len()
}

#[test]
fn bytes_arrive_whole_in_both_directions() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let sent = echoed(&mesh);
        let flows = mesh.web.snapshot().flows;
        assert_eq!(flows.len(), 1);
        assert_eq!(flows[0].sent_bytes, sent as u64);
        assert_eq!(
            flows[0].destination_principal,
            crate::mesh::id("db").as_str()
        );
    });
}

#[test]
fn the_server_may_speak_first() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        server.write_all(b"220 ready").unwrap();
        let mut greeting = [0; 9];
        client.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"220 ready");
    });
}

#[test]
fn either_side_may_end_its_direction_and_go_on_receiving() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        server.write_all(b"last words").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"last words");
        client.write_all(b"still here").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        heard.clear();
        server.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"still here");
    });
}

#[test]
fn a_refused_destination_resets_the_client() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let mut client = mesh.dial();
        let error = client.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let failed = mesh.web.snapshot().flows[0].failed.clone();
        assert_eq!(failed, [("CONNECT", 1)]);
    });
}
