//! Tokens between two engines.

use stoq_io::ConnectionInfo;
use stoq_wire::extension::{PACKET_TOKENS, STREAM_TOKENS};
use stoq_wire::parameters::StoqParameters;

use crate::mesh::{Mesh, eventually};
use crate::net::in_namespace;
use crate::relay::echoed;

fn offering(extensions: u64, packet_reserve: u64) -> StoqParameters {
    StoqParameters {
        extensions,
        packet_reserve,
        ..StoqParameters::default()
    }
}

fn connection(mesh: &Mesh) -> ConnectionInfo {
    let both = [&mesh.web, &mesh.db].map(|engine| engine.connections().remove(0));
    let [ours, theirs] = both;
    assert_eq!(ours.packet_tokens, theirs.packet_tokens);
    assert_eq!(ours.packet_reserve, theirs.packet_reserve);
    assert_eq!(ours.stream_tokens, theirs.stream_tokens);
    ours
}

#[test]
fn a_token_in_every_packet_lets_all_bytes_through() {
    in_namespace(|| {
        let mesh = Mesh::offering(offering(PACKET_TOKENS, 25), offering(PACKET_TOKENS, 256));
        echoed(&mesh);
        let found = connection(&mesh);
        assert!(found.packet_tokens);
        assert_eq!(found.packet_reserve, 25);
        for engine in [&mesh.web, &mesh.db] {
            assert_eq!(engine.snapshot().counters.packets_refused, 0);
        }
    });
}

#[test]
fn a_reserve_without_tokens_lets_all_bytes_through() {
    in_namespace(|| {
        let mesh = Mesh::offering(offering(0, 256), offering(PACKET_TOKENS, 256));
        echoed(&mesh);
        let found = connection(&mesh);
        assert!(!found.packet_tokens);
        assert_eq!(found.packet_reserve, 256);
    });
}

#[test]
fn an_engine_that_offers_nothing_speaks_with_one_that_does() {
    in_namespace(|| {
        let mesh = Mesh::offering(offering(PACKET_TOKENS, 64), offering(0, 0));
        echoed(&mesh);
        assert_eq!(connection(&mesh).packet_reserve, 0);
        eventually("the flow is over", || {
            mesh.web.snapshot().gauges.relays == 0
        });
    });
}

#[test]
fn tokens_on_streams_let_all_bytes_through_and_nothing_else() {
    in_namespace(|| {
        let mesh = Mesh::offering(offering(STREAM_TOKENS, 0), offering(STREAM_TOKENS, 0));
        echoed(&mesh);
        let found = connection(&mesh);
        assert!(found.stream_tokens && !found.packet_tokens);
        eventually("the flow is over", || {
            mesh.web.snapshot().gauges.relays == 0
        });
        for engine in [&mesh.web, &mesh.db] {
            let snapshot = engine.snapshot();
            assert_eq!(snapshot.counters.stream_tokens_refused, 0);
            // What applications said, and not what went over the stream.
            let [flow] = &snapshot.flows[..] else {
                panic!("{:?}", snapshot.flows)
            };
            assert_eq!(
                (flow.sent_bytes, flow.received_bytes),
                (3_000_000, 3_000_000)
            );
        }
    });
}

#[test]
fn both_kinds_of_tokens_go_together_and_one_side_alone_has_none() {
    in_namespace(|| {
        let both = || offering(STREAM_TOKENS | PACKET_TOKENS, 64);
        let mesh = Mesh::offering(both(), both());
        echoed(&mesh);
        let found = connection(&mesh);
        assert!(found.stream_tokens && found.packet_tokens);
    });
    in_namespace(|| {
        let mesh = Mesh::offering(offering(STREAM_TOKENS, 0), offering(0, 0));
        echoed(&mesh);
        assert!(!connection(&mesh).stream_tokens);
    });
}
