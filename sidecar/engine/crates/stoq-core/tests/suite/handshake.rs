//! Full handshakes between two workloads.

use stoq_core::authorise::Expect;
use stoq_core::profile::CryptoProfile;
use stoq_core::tls::ServerRole;

use crate::mesh::{Mesh, id};
use crate::pair::Pair;

#[test]
fn two_workloads_authenticate_each_other_with_both_signatures() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    assert!(pair.client.is_connected() && pair.server.is_connected());
    let (client, server) = (pair.client.evidence(), pair.server.evidence());
    for evidence in [&client, &server] {
        assert_eq!(evidence.key_exchange, "X25519MLKEM768");
        assert_eq!(evidence.peer_signature, "Ed25519+FALCON-1024");
        assert_eq!(evidence.local_signature, "Ed25519+FALCON-1024");
        assert_eq!(evidence.cipher, "AES-256-GCM");
        assert_eq!(evidence.profile, CryptoProfile::Hybrid1024);
        assert!(!evidence.resumed);
        assert_eq!(evidence.stoq.as_ref().unwrap().revision, 1);
    }
    assert_eq!(client.peer.unwrap().spiffe, id("db"));
    assert_eq!(server.peer.unwrap().spiffe, id("web"));
    assert_eq!(pair.send(b"hello"), b"hello");
}

#[test]
fn a_full_handshake_takes_one_round_trip_and_the_servers_flight_fits_the_credit() {
    let mesh = Mesh::new();
    let (web, db) = (mesh.workload("web"), mesh.workload("db"));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::AnyInMesh);
    pair.client_speaks();
    let hello: usize = pair.client.sent.iter().sum();
    assert_eq!(pair.client.sent.len(), 2, "{:?}", pair.client.sent);
    pair.server_speaks();
    let flight: usize = pair.server.sent.iter().sum();
    assert!(flight <= 6900, "the server's flight has {flight} bytes");
    assert!(
        flight <= 3 * hello,
        "{flight} bytes for a credit of 3 x {hello}"
    );
    pair.client_speaks();
    assert!(pair.client.is_connected());
    assert_eq!(pair.round_trips, 1);
    pair.server_speaks();
    assert!(pair.server.is_connected());
}
