//! Connections over gateways: a client, gateways and a server, each an engine.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use stoq_io::Engine;
use stoq_wire::code::StreamCode;

use crate::mesh::{APPLICATION, SERVICE, accept, application, dial, eventually, id};
use crate::net::{DB, VIP, WEB, in_namespace};
use crate::routed::{Routed, object};
use crate::spy::Spy;

#[test]
fn a_connection_over_a_gateway_is_between_its_two_ends() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a"]]);
        let sent = object(1_000_000);
        let found = routed.send(&sent).unwrap();
        assert!(found.data.concat() == sent);
        assert_eq!(found.sender, id("web"));

        let peers = |engine: &Engine| {
            let mut peers: Vec<_> = engine.connections().into_iter().collect();
            peers.sort_by(|a, b| a.spiffe_id.cmp(&b.spiffe_id));
            peers
                .into_iter()
                .filter_map(|one| one.spiffe_id)
                .collect::<Vec<_>>()
        };
        let names = |ids: &[&str]| {
            ids.iter()
                .map(|one| id(one).to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(peers(&routed.web), names(&["a", "db"]));
        assert_eq!(
            peers(routed.gateway("a")),
            names(&["web"]),
            "it has none with the server"
        );
        assert_eq!(peers(&routed.db), names(&["web"]));

        let counted = routed.gateway("a").snapshot();
        assert_eq!(counted.counters.routes_opened, 1);
        assert_eq!(counted.gauges.routes, 1);
        assert!(counted.counters.hop_bytes > 1_000_000);
        assert_eq!(counted.counters.shards_taken, 0);
        for engine in [&routed.web, routed.gateway("a")] {
            assert_eq!(
                engine.snapshot().counters.hop_streamed,
                0,
                "datagrams take them"
            );
        }
    });
}

#[test]
fn what_leaves_a_gateway_says_nothing_of_what_was_sent() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a"]]);
        let spy = Spy::before(SocketAddr::new(DB.parse().unwrap(), routed.server_port()));
        let secret = b"what nobody between the ends may read. ";
        let sent = Bytes::from(secret.repeat(5000));
        assert!(routed.send_over(&spy, &sent).unwrap().data.concat() == sent);
        let seen = spy.seen();
        assert!(seen.len() > sent.len(), "{} bytes", seen.len());
        let part = &secret[..16];
        assert!(!seen.windows(part.len()).any(|window| window == part));
    });
}

#[test]
fn an_application_is_reached_over_a_gateway() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a"]]);
        let listener = application();
        let echo = std::thread::spawn(move || {
            let mut stream = accept(&listener);
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            stream.write_all(&received).unwrap();
        });
        let service = json!([{
            "name": "db", "namespace": "shop", "vips": [VIP],
            "ports": [{"port": SERVICE, "target": APPLICATION}],
            "endpoints": [{"address": DB, "weight": 1}],
        }]);
        let listening = json!({"outbound": {"listen": format!("[{VIP}]:{SERVICE}")}});
        let web = routed.another_client(WEB, &listening, &json!({"services": service}));
        let mut stream = dial();
        let sent = object(500_000);
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} bytes", received.len());
        echo.join().unwrap();
        assert_eq!(routed.gateway("a").snapshot().counters.routes_opened, 1);
        web.shutdown();
    });
}

#[test]
fn a_route_leads_over_two_gateways() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a", "b"]]);
        let sent = object(300_000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        for name in ["a", "b"] {
            let counters = routed.gateway(name).snapshot().counters;
            assert_eq!(counters.routes_opened, 1, "{name}");
            assert!(counters.hop_bytes > 300_000, "{name}");
        }
        let b = routed.gateway("b").connections();
        let from: Vec<_> = b.iter().filter_map(|one| one.spiffe_id.clone()).collect();
        assert_eq!(
            from,
            [id("a").to_string()],
            "the second hears of the first alone"
        );
    });
}

#[test]
fn what_no_rule_lets_pass_is_refused_and_never_dialled_directly() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a"]]);
        routed.set_rules("a", &json!([{"from": id("other").as_str(), "to": "*"}]));
        let why = routed.send(&object(10)).unwrap_err();
        assert!(why.contains("denied"), "{why}");
        let gateway = routed.gateway("a").snapshot();
        assert_eq!(gateway.counters.routes_refused, 1);
        assert_eq!(gateway.streams_refused["denied"], 1);
        assert!(routed.db.connections().is_empty());
    });
}

#[test]
fn a_route_ends_where_its_workload_is_known_to_be() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a"]]);
        routed.set_table("a", |table| table["workloads"] = json!([]));
        let why = routed.send(&object(10)).unwrap_err();
        assert!(why.contains("denied"), "{why}");
        assert!(routed.db.connections().is_empty());
    });
}

#[test]
fn an_endpoint_that_is_no_gateway_takes_no_route() {
    in_namespace(|| {
        let routed = Routed::with(&[&["a"]], &json!({}), &json!({"gateway": null}));
        let why = routed.send(&object(10)).unwrap_err();
        assert!(why.contains(StreamCode::NoRoute.name()), "{why}");
    });
}

#[test]
fn another_gateway_is_taken_when_one_refuses_and_when_one_is_gone() {
    in_namespace(|| {
        let quick = json!({"transport": {"dial_timeout_ms": 3000}});
        let routed = Routed::with(&[&["a"], &["b"]], &quick, &json!({}));
        routed.set_rules("a", &json!([]));
        // Whichever is drawn first.
        let sent = object(100_000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert_eq!(routed.gateway("b").snapshot().counters.routes_opened, 1);

        routed.allow_all("a");
        routed.gateway("b").shutdown();
        eventually("the client has heard of it", || {
            let left = routed.web.connections();
            left.iter()
                .all(|one| one.spiffe_id.as_deref() != Some(id("db").as_str()))
        });
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert_eq!(routed.gateway("a").snapshot().counters.routes_opened, 1);
    });
}

#[test]
fn where_the_outer_path_is_too_narrow_packets_go_by_the_stream() {
    in_namespace(|| {
        let narrow = json!({"transport": {"mtu": 1248}});
        let routed = Routed::with(&[&["a"]], &narrow, &narrow);
        let sent = object(200_000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert!(routed.web.snapshot().counters.hop_streamed > 100);
        assert!(routed.gateway("a").snapshot().counters.hop_streamed > 0);
    });
}

#[test]
fn a_route_ends_when_rules_no_longer_let_it_pass() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a"]]);
        routed.send(&object(1000)).unwrap();
        routed.set_rules("a", &json!([]));
        eventually("the connection inside is gone", || {
            let left = routed.web.connections();
            left.iter()
                .all(|one| one.spiffe_id.as_deref() == Some(id("a").as_str()))
        });
        eventually("the route is gone", || {
            routed.gateway("a").snapshot().gauges.routes == 0
        });
        assert!(routed.send(&object(10)).unwrap_err().contains("denied"));
    });
}

#[test]
fn a_route_that_forwards_nothing_ends() {
    in_namespace(|| {
        let gateway = json!({"gateway": {"idle_ms": 1000}});
        let silent = json!({"transport": {"keep_alive_ms": 0}});
        let routed = Routed::with(&[&["a"]], &silent, &gateway);
        routed.send(&object(10)).unwrap();
        eventually("the route has ended", || {
            routed.gateway("a").snapshot().gauges.routes == 0
        });
    });
}

#[test]
fn a_peer_has_as_many_routes_as_the_gateway_allows() {
    in_namespace(|| {
        let gateway = json!({"gateway": {"routes_per_peer": 1}});
        let routed = Routed::with(&[&["a"]], &json!({}), &gateway);
        routed.send(&object(10)).unwrap();
        // The same identity, with an engine of its own.
        let second = routed.another_client("fd00::7", &json!({}), &json!({}));
        let why = routed.send_from(&second, &object(10)).unwrap_err();
        assert!(why.contains(StreamCode::Refused.name()), "{why}");
        second.shutdown();
        eventually("there is one route", || {
            routed.gateway("a").snapshot().gauges.routes == 1
        });
    });
}

#[test]
fn a_gateway_that_goes_ends_its_routes() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a"]]);
        routed.send(&object(10)).unwrap();
        routed.gateway("a").drain(Duration::from_millis(100));
        eventually("the client has no connection left", || {
            routed.web.connections().is_empty()
        });
    });
}
