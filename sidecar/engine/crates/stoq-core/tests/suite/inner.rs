//! A connection inside another one, which has less room than its endpoints.

use stoq_core::authorise::Expect;
use stoq_core::tls::ServerRole;

use crate::mesh::{Mesh, id};
use crate::pair::{Pair, SERVER};

#[test]
fn a_server_keeps_to_the_room_of_an_inner_connection_from_its_first_flight() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    assert_eq!(web.tls.spiffe_id(), Some(id("web")));
    for (payload, largest) in [(Some(1300), 1300), (Some(7), 1200), (None, 1452)] {
        let (expect, address) = (Expect::Id(id("db")), SERVER.parse().unwrap());
        let client = match payload {
            Some(payload) => web.tls.inner_config(expect, address, payload),
            None => web.tls.client_config(expect, address),
        };
        let server = db.tls.server_config(ServerRole::Mesh);
        let mut pair = Pair::with(&web.tls, client, &db.tls, server);
        pair.settle();
        assert_eq!(pair.send(b"inner"), b"inner");
        let sent = pair.server.sent.iter().max();
        assert_eq!(sent, Some(&largest), "its certificate fills datagrams");
    }
}
