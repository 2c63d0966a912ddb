//! Applications that do not read.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::mesh::{Mesh, accept, application};
use crate::net::in_namespace;

/// Writes until nothing more goes; returns how much went.
fn fill(stream: &mut TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let piece = vec![1; 65_536];
    let (mut total, mut refusals) = (0, 0);
    while refusals < 5 {
        match stream.write(&piece) {
            Ok(written) => (total, refusals) = (total + written, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                refusals += 1;
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
    stream.set_nonblocking(false).unwrap();
    total
}

#[test]
fn a_server_that_does_not_read_holds_its_client_back_and_loses_nothing() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        let sent = fill(&mut client);
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut received = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match server.read(&mut buffer).unwrap() {
                0 => break,
                length => received += length,
            }
        }
        assert_eq!(received, sent);
    });
}

#[test]
fn stalled_streams_leave_the_others_alone() {
    in_namespace(|| {
        // Small windows, so that 40 stalled streams would exhaust the connection's
        // window five times over.
        let transport = json!({"stream_window": 262_144, "connection_window": 2_000_000});
        let settings = json!({"transport": transport});
        let mesh = Mesh::with(settings.clone(), settings);
        let listener = application();
        let mut held = Vec::new();
        for _ in 0..40 {
            let mut client = mesh.dial();
            let server = accept(&listener);
            fill(&mut client);
            held.push((client, server));
        }
        assert_eq!(mesh.web.connections().len(), 1);
        let mut active = mesh.dial();
        let mut server = accept(&listener);
        let writer = thread::spawn(move || active.write_all(&vec![2; 20_000_000]).unwrap());
        let mut rest = 20_000_000;
        let mut buffer = vec![0; 1 << 20];
        while rest > 0 {
            rest -= server.read(&mut buffer).unwrap();
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_stream_that_stalls_takes_over_what_another_no_longer_needs() {
    in_namespace(|| {
        // Room to make up for one stalled stream, no more.
        let transport = json!({
            "stream_window": 262_144, "connection_window": 262_144, "stalled_window": 262_144,
        });
        let settings = json!({"transport": transport});
        let mesh = Mesh::with(settings.clone(), settings);
        let listener = application();
        for _ in 0..4 {
            let mut stalled = mesh.dial();
            let mut server = accept(&listener);
            let sent = fill(&mut stalled);
            let mut active = mesh.dial();
            let mut active_server = accept(&listener);
            active.write_all(b"go on").unwrap();
            active_server.read_exact(&mut [0; 5]).unwrap();
            // It reads again, and stays open while the next one stalls.
            let mut rest = sent;
            let mut buffer = vec![0; 1 << 20];
            while rest > 0 {
                rest -= server.read(&mut buffer).unwrap();
            }
            std::mem::forget((stalled, server));
        }
    });
}
