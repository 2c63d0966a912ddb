//! Ending in order.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::mesh::{Mesh, SERVICE, accept, application, eventually};
use crate::net::{VIP, in_namespace};

#[test]
fn draining_lets_flows_finish_and_takes_no_new_ones() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        mesh.web.drain(Duration::from_secs(60));
        eventually("nobody listens any more", || {
            match TcpStream::connect(format!("[{VIP}]:{SERVICE}")) {
                Err(_) => true,
                // The worker has not come to it yet. A flow that is reset holds up no drain.
                Ok(early) => {
                    let reset = SockRef::from(&early).set_linger(Some(Duration::ZERO));
                    reset.unwrap();
                    false
                }
            }
        });
        client.write_all(b"goodbye").unwrap();
        let mut heard = [0; 7];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"goodbye");
        drop((client, server));
        let begun = Instant::now();
        mesh.web.join();
        assert!(begun.elapsed() < Duration::from_secs(30));
    });
}

#[test]
fn draining_ends_at_its_deadline_whatever_is_open() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let _server = accept(&listener);
        mesh.web.drain(Duration::from_millis(200));
        mesh.web.join();
        assert!(client.read(&mut [0]).is_err());
    });
}

#[test]
fn streams_towards_a_draining_engine_are_refused() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let _client = mesh.dial();
        let _server = accept(&listener);
        mesh.db.drain(Duration::from_secs(60));
        eventually("a new stream is refused", || {
            let mut late = mesh.dial();
            // One that came before the worker had heard of it is open, and silent.
            let moment = Duration::from_millis(500);
            late.set_read_timeout(Some(moment)).unwrap();
            let error = late.read(&mut [0]).unwrap_err();
            error.kind() == ErrorKind::ConnectionReset
        });
    });
}
