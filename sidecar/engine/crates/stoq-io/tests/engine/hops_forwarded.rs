//! Packets of inner connections beside their tunnels: agreed on, in both directions, and given up.

use std::net::SocketAddr;

use serde_json::json;
use stoq_io::Engine;
use stoq_wire::bare::PROBE_LEN;

use crate::mesh::{eventually, id};
use crate::net::{DB, in_namespace};
use crate::routed::{Routed, forwarding, object, offered};
use crate::spy::Spy;

fn beside(engine: &Engine) -> u64 {
    engine.snapshot().counters.hop_beside
}

/// A connection that is there already, and whose probes were seen in both directions.
fn settled(routed: &Routed) {
    eventually("packets go beside the tunnel, both ways", || {
        let before = [beside(&routed.web), beside(routed.gateway("a"))];
        routed.send(&object(300_000)).unwrap();
        let after = [beside(&routed.web), beside(routed.gateway("a"))];
        after[0] > before[0] + 50 && after[1] > before[1]
    });
}

/// Sends once packets go beside the tunnel, which `begin` waits for. Does both again as often as somebody has
/// given up meanwhile, who was not answered for a second: as by a thread that has no CPU.
fn undoubted<T>(routed: &Routed, begin: impl Fn(), send: impl Fn() -> T) -> T {
    let doubts =
        || [&routed.web, routed.gateway("a")].map(|engine| engine.snapshot().counters.hop_given_up);
    let mut sent = None;
    eventually("nobody gives up", || {
        begin();
        let before = doubts();
        sent = Some(send());
        doubts() == before
    });
    sent.unwrap()
}

#[test]
fn most_of_a_transfer_goes_beside_the_tunnel_and_arrives_as_it_was() {
    in_namespace(|| {
        let routed = Routed::forwarded(&[&["a"]]);
        let sent = object(4_000_000);
        let transfer = || {
            let before = (beside(&routed.web), beside(routed.gateway("a")));
            let found = routed.send(&sent).unwrap();
            assert!(found.data.concat() == sent);
            assert_eq!(found.sender, id("web"));
            let after = (beside(&routed.web), beside(routed.gateway("a")));
            (after.0 - before.0, after.1 - before.1)
        };
        let (web, gateway) = undoubted(&routed, || settled(&routed), transfer);
        let packets = 4_000_000 / 1400;
        assert!(web > packets / 2, "what it sends: {web}");
        assert!(gateway > 0, "and what answers");
        let gateway = routed.gateway("a").snapshot();
        assert!(gateway.counters.hop_bytes > 4_000_000);
        // The server chooses another connection ID at first: what was on its way under the old id is lost.
        assert!(gateway.hop_dropped["no_tunnel"] < 10);
    });
}

#[test]
fn each_leg_of_a_route_over_two_gateways_is_beside_its_tunnel() {
    in_namespace(|| {
        let routed = Routed::forwarded(&[&["a", "b"]]);
        settled(&routed);
        let sent = object(1_000_000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert!(beside(routed.gateway("a")) > 500, "those for the next one");
        assert!(beside(routed.gateway("b")) > 0, "those that come back");
    });
}

#[test]
fn where_one_of_the_two_does_not_offer_it_all_goes_by_the_tunnel() {
    in_namespace(|| {
        let routed = Routed::with_offers(&[&["a"]], forwarding(), &[("a", offered())]);
        let sent = object(500_000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert_eq!(beside(&routed.web) + beside(routed.gateway("a")), 0);
    });
}

#[test]
fn where_probes_do_not_get_through_nothing_is_lost() {
    in_namespace(|| {
        let routed = Routed::with_settings(&[&["a"]], forwarding(), &json!({"workers": 1}));
        let spy = Spy::before(routed.address("a"));
        spy.holds_back(|datagram| datagram.len() == PROBE_LEN);
        routed.dial_at("a", spy.address());
        let sent = object(1_000_000);
        for _ in 0..3 {
            assert!(routed.send(&sent).unwrap().data.concat() == sent);
        }
        assert_eq!(beside(&routed.web) + beside(routed.gateway("a")), 0);
    });
}

#[test]
fn what_no_longer_gets_through_goes_by_the_tunnel_again() {
    in_namespace(|| {
        let routed = Routed::with_settings(&[&["a"]], forwarding(), &json!({"workers": 1}));
        let spy = Spy::before(routed.address("a"));
        routed.dial_at("a", spy.address());
        settled(&routed);
        // Every id of an endpoint has the bytes behind worker and generation in common.
        let marks: Vec<Vec<u8>> = spy.short_ones(PROBE_LEN);
        assert!(!marks.is_empty());
        spy.holds_back(move |datagram| {
            datagram.len() > 7 && marks.iter().any(|probe| probe[3..7] == datagram[3..7])
        });
        let sent = object(1_000_000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert!(routed.web.snapshot().counters.hop_given_up >= 1);
        let after = beside(&routed.web);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert_eq!(beside(&routed.web), after, "nothing is risked for a while");
    });
}

#[test]
fn a_handshake_that_comes_late_or_is_forged_moves_nothing_back_into_the_tunnel() {
    in_namespace(|| {
        let routed = Routed::with_settings(&[&["a"]], forwarding(), &json!({"workers": 1}));
        let server = SocketAddr::new(DB.parse().unwrap(), routed.server_port());
        let spy = Spy::before(server);
        let sent = object(1_000_000);
        let begin = || {
            eventually("packets go beside the tunnel", || {
                let before = beside(&routed.web);
                assert!(routed.send_over(&spy, &sent).unwrap().data.concat() == sent);
                beside(&routed.web) > before + 500
            });
        };
        begin();
        let late = spy.long_ones();
        assert!(late.len() >= 2, "a handshake");
        // As a Handshake packet has it: for one of these connection IDs, from the other.
        let from_nobody = |to: &[u8]| {
            let length = [to.len() as u8];
            [
                b"\xe0\0\0\0\x01",
                &length[..],
                to,
                b"\x08nobody's",
                &[0; 1200],
            ]
            .concat()
        };
        let own = late
            .iter()
            .map(|one| from_nobody(&one[6..6 + usize::from(one[5])]));
        let foreign = || routed.web.snapshot().hop_dropped["foreign"];
        let said: Vec<_> = late
            .iter()
            .cloned()
            .chain(own)
            .chain([from_nobody(b"anybody?")])
            .collect();
        let went = undoubted(&routed, begin, || {
            let before = foreign();
            for datagram in &said {
                spy.says(datagram);
            }
            eventually("what is not for the client is counted", || {
                foreign() > before
            });
            let before = beside(&routed.web);
            assert!(routed.send_over(&spy, &sent).unwrap().data.concat() == sent);
            beside(&routed.web) - before
        });
        assert!(went > 500, "{went}");
    });
}

#[test]
fn a_gateway_that_is_started_again_is_dialled_again() {
    in_namespace(|| {
        let mut routed = Routed::with_settings(
            &[&["a"]],
            forwarding(),
            &json!({"transport": {"idle_timeout_ms": 2000, "keep_alive_ms": 500}}),
        );
        settled(&routed);
        routed.restart("a");
        let sent = object(200_000);
        eventually("objects arrive again", || {
            routed
                .send(&sent)
                .is_ok_and(|found| found.data.concat() == sent)
        });
        settled(&routed);
    });
}

#[test]
fn what_is_longer_than_the_path_takes_goes_by_the_tunnel_though_probes_get_through() {
    in_namespace(|| {
        // The shortest packets of an inner connection that are full have 1200 bytes, as the path here.
        let narrow = json!({"transport": {"mtu": 1248}});
        let routed = Routed::with_settings(&[&["a"]], forwarding(), &narrow);
        let sent = object(1_000_000);
        let begin = || {
            let both = || [beside(&routed.web), beside(routed.gateway("a"))];
            let before = both();
            eventually("short packets go beside the tunnel, both ways", || {
                routed.send(&sent).unwrap();
                let after = both();
                after[0] > before[0] && after[1] > before[1]
            });
        };
        let streamed = |engine: &Engine| engine.snapshot().counters.hop_streamed;
        let [went, by_stream] = undoubted(&routed, begin, || {
            let before = [beside(&routed.web), streamed(&routed.web)];
            assert!(routed.send(&sent).unwrap().data.concat() == sent);
            let after = [beside(&routed.web), streamed(&routed.web)];
            [after[0] - before[0], after[1] - before[1]]
        });
        assert!(by_stream > 500 && went < 300, "{went}, {by_stream}");
    });
}
