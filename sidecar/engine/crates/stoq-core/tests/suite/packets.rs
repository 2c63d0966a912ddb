//! What is at the end of 1-RTT packets, where both ends agreed on it.

use std::time::Duration;

use stoq_core::authorise::Expect;
use stoq_core::tls::{ServerRole, TlsSettings};
use stoq_wire::extension::PACKET_TOKENS;
use stoq_wire::parameters::StoqParameters;

use crate::mesh::{Mesh, id, today};
use crate::pair::Pair;

/// Two ends that offer so much, connected.
fn connected(client: (u64, u64), server: (u64, u64)) -> Pair {
    let mesh = Mesh::new();
    let offering = |(extensions, packet_reserve)| TlsSettings {
        parameters: StoqParameters {
            extensions,
            packet_reserve,
            ..StoqParameters::default()
        },
        ..TlsSettings::default()
    };
    let web = mesh.workload_with("web", today(), offering(client));
    let db = mesh.workload_with("db", today(), offering(server));
    let mut pair = Pair::dial(&web.tls, &db.tls, ServerRole::Mesh, Expect::Id(id("db")));
    pair.settle();
    pair
}

/// The size of a datagram in which the client asks to be heard.
fn ping(pair: &mut Pair) -> usize {
    // What the handshake left to be acknowledged.
    pair.pass(Duration::from_millis(100));
    let before = pair.client.sent.len();
    pair.client.connection().ping();
    pair.pass(Duration::from_millis(50));
    pair.client.sent[before]
}

#[test]
fn packets_with_tokens_go_both_ways_and_through_key_updates() {
    let mut pair = connected((PACKET_TOKENS, 64), (PACKET_TOKENS, 25));
    for _ in 0..3 {
        assert_eq!(pair.send(b"before"), b"before");
        pair.client.connection().force_key_update();
        assert_eq!(pair.send(b"after"), b"after");
        pair.server.connection().force_key_update();
        assert_eq!(pair.send(b"answered"), b"answered");
    }
    for end in [&mut pair.client, &mut pair.server] {
        assert!(end.lost().is_none());
        let evidence = end.evidence();
        assert!(evidence.agreed.packet_tokens());
        assert_eq!(evidence.packets.unwrap().fault(), None);
    }
}

#[test]
fn the_lesser_reserve_is_in_every_packet() {
    let plain = ping(&mut connected((0, 0), (0, 80)));
    for (client, server) in [((0, 70), (0, 80)), ((PACKET_TOKENS, 70), (0, 80))] {
        let mut pair = connected(client, server);
        assert_eq!(ping(&mut pair), plain + 70);
        assert_eq!(pair.send(b"hello"), b"hello");
    }
}

#[test]
fn an_end_that_offers_nothing_sees_ordinary_packets() {
    let mut pair = connected((PACKET_TOKENS, 64), (0, 0));
    assert_eq!(pair.send(b"hello"), b"hello");
    assert_eq!(pair.client.evidence().packets, None);
    assert_eq!(pair.server.evidence().packets, None);
}
