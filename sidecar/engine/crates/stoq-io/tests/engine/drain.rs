//! Ending in order.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::mesh::{Mesh, SERVICE, accept, application};
use crate::net::{VIP, in_namespace};

#[test]
fn draining_lets_flows_finish_and_takes_no_new_ones() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let mut client = mesh.dial();
        let mut server = accept(&listener);
        mesh.web.drain(Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(100));
        assert!(TcpStream::connect(format!("[{VIP}]:{SERVICE}")).is_err());
        client.write_all(b"goodbye").unwrap();
        let mut heard = [0; 7];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"goodbye");
        drop((client, server));
        let begun = Instant::now();
        mesh.web.join();
        assert!(begun.elapsed() < Duration::from_secs(10));
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
        mesh.db.drain(Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(100));
        let mut late = mesh.dial();
        assert!(late.read(&mut [0]).is_err());
    });
}
