//! What arrives before the first routing table, as after a restart.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use stoq_core::table::Table;

use crate::mesh::{Mesh, PATIENCE, accept, application, eventually, table};
use crate::net::{DB, WEB, in_namespace};

#[test]
fn a_captured_connection_waits_for_the_first_table() {
    in_namespace(|| {
        let mesh = Mesh::start();
        mesh.web.set_table(Arc::new(Table::closed()));
        let listener = application();
        let mut client = mesh.dial();
        client.write_all(b"patience").unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let waiting = client.read(&mut [0; 1]).unwrap_err();
        assert!(matches!(
            waiting.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        mesh.web.set_table(table("web-0", WEB));
        let mut server = accept(&listener);
        let mut heard = [0; 8];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"patience");
    });
}

#[test]
fn a_stream_of_a_peer_waits_for_the_first_table() {
    in_namespace(|| {
        let mesh = Mesh::start();
        mesh.db.set_table(Arc::new(Table::closed()));
        let listener = application();
        let mut client = mesh.dial();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"patience").unwrap();
        eventually("the peers are connected", || {
            mesh.db.snapshot().gauges.connections == 1
        });
        std::thread::sleep(Duration::from_millis(300));
        mesh.db.set_table(table("db-0", DB));
        let mut server = accept(&listener);
        let mut heard = [0; 8];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"patience");
    });
}
