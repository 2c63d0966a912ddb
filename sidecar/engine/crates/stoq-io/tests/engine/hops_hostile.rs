//! What peers may ask of a gateway, and what may come out of it.

use std::net::{SocketAddr, UdpSocket};

use serde_json::json;
use stoq_wire::code::StreamCode;
use stoq_wire::frame::Frame;
use stoq_wire::frame::hop::{Hop, Route, RouteId};

use crate::asker::{Asker, MOMENT};
use crate::mesh::{eventually, id};
use crate::net::{DB, in_namespace};
use crate::routed::{Routed, object};

/// A gateway, a workload that is only a socket, and a peer with the client's identity.
struct Scene {
    routed: Routed,
    workload: UdpSocket,
    asker: Asker,
}

impl Scene {
    fn new() -> Self {
        let routed = Routed::over(&[&["a"]]);
        let workload = UdpSocket::bind(format!("[{DB}]:0")).unwrap();
        workload.set_read_timeout(Some(MOMENT)).unwrap();
        let port = workload.local_addr().unwrap().port();
        routed.set_table("a", |table| {
            table["workloads"][0]["port"] = json!(port);
            table["workloads"][0]["spiffe_id"] = json!(id("socket").as_str());
        });
        let asker = Asker::connect(&routed.identity("web"), routed.address("a"));
        Self {
            routed,
            workload,
            asker,
        }
    }

    fn route(&self, number: u8, gateways: &[&str]) -> Route {
        Route {
            id: RouteId([number; 16]),
            position: 0,
            gateways: gateways.iter().map(|name| id(name).to_string()).collect(),
            destination: self.workload.local_addr().unwrap(),
            identity: id("socket").to_string(),
        }
    }

    /// A packet that the workload got, and from where.
    fn got(&mut self) -> (Vec<u8>, SocketAddr) {
        self.asker.heard_by(&self.workload)
    }

    fn dropped(&self, why: &str) -> u64 {
        self.routed.gateway("a").snapshot().hop_dropped[why]
    }
}

#[test]
fn packets_pass_as_they_are_and_only_between_the_two_ends() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let route = scene.route(1, &["a"]);
        let stream = u64::from(scene.asker.ask(&route));
        scene.asker.send(stream, b"no QUIC at all");
        let (packet, gateway) = scene.got();
        assert_eq!(packet, b"no QUIC at all");
        scene.workload.send_to(b"nor this", gateway).unwrap();
        assert_eq!(scene.asker.receive(), (stream, "nor this".into()));

        let stranger = UdpSocket::bind(format!("[{DB}]:0")).unwrap();
        stranger.send_to(b"let me in", gateway).unwrap();
        assert_eq!(scene.asker.within_a_moment(), []);
    });
}

#[test]
fn a_packet_that_comes_before_its_route_is_kept_for_it() {
    in_namespace(|| {
        let mut scene = Scene::new();
        scene.asker.send(0, b"early");
        let stream = u64::from(scene.asker.ask(&scene.route(1, &["a"])));
        assert_eq!(stream, 0);
        assert_eq!(scene.got().0, b"early");
    });
}

#[test]
fn a_route_that_comes_round_is_refused_as_a_loop() {
    in_namespace(|| {
        let mut scene = Scene::new();
        for gateways in [&["a", "b", "a"] as &[&str], &["a", "a"], &["a", "socket"]] {
            let code = scene.asker.refused(&scene.route(1, gateways));
            assert_eq!(code, Some(StreamCode::Loop), "{gateways:?}");
        }
        let route = scene.route(2, &["a"]);
        let stream = u64::from(scene.asker.ask(&route));
        scene.asker.send(stream, b"it is open");
        scene.got();
        let code = scene.asker.refused(&route);
        assert_eq!(
            code,
            Some(StreamCode::Loop),
            "the gateway forwards that id already"
        );
        // Another connection of the same peer, perhaps at another worker.
        let mut second = Asker::connect(&scene.routed.identity("web"), scene.routed.address("a"));
        assert_eq!(second.refused(&route), Some(StreamCode::Loop));
        scene.asker.send(stream, b"and stays so");
        assert_eq!(scene.got().0, b"and stays so");
        assert_eq!(
            scene.routed.gateway("a").snapshot().counters.routes_refused,
            5
        );
    });
}

#[test]
fn a_route_of_other_gateways_and_one_to_anywhere_are_refused() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let elsewhere = scene.route(1, &["b", "a"]);
        assert_eq!(scene.asker.refused(&elsewhere), Some(StreamCode::NoRoute));
        let beyond = scene.route(2, &["a", "b"]);
        let code = scene.asker.refused(&beyond);
        assert_eq!(
            code,
            Some(StreamCode::NoRoute),
            "nobody knows where that one is"
        );
        let anybody = UdpSocket::bind(format!("[{DB}]:0")).unwrap();
        anybody.set_read_timeout(Some(MOMENT)).unwrap();
        for route in [
            Route {
                destination: anybody.local_addr().unwrap(),
                ..scene.route(3, &["a"])
            },
            Route {
                identity: id("other").to_string(),
                ..scene.route(4, &["a"])
            },
        ] {
            let stream = scene.asker.ask(&route);
            scene.asker.send(u64::from(stream), b"for anybody");
            assert_eq!(scene.asker.code_of(stream), Some(StreamCode::Denied));
        }
        assert!(anybody.recv_from(&mut [0; 100]).is_err());
        assert!(scene.workload.recv_from(&mut [0; 100]).is_err());
        // Whatever was refused holds no place.
        eventually("no route is left", || {
            scene.routed.gateway("a").snapshot().gauges.routes == 0
        });
    });
}

#[test]
fn packets_for_no_tunnel_are_dropped_and_counted() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let stream = u64::from(scene.asker.ask(&scene.route(1, &["a"])));
        scene.asker.send(stream, b"right");
        scene.got();
        // Streams that the gateway would open, and one that is not open for long.
        for tunnel in [1, 2, 3] {
            scene.asker.send(tunnel, b"wrong");
        }
        eventually("they are counted", || scene.dropped("no_tunnel") == 3);
        scene.asker.send(stream, b"still right");
        assert_eq!(scene.got().0, b"still right");
        assert!(scene.asker.lost.is_none());
    });
}

#[test]
fn a_second_route_on_a_stream_closes_that_connection_alone() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let sent = object(1000);
        let open = |number| Frame::Hop(Hop::Open(scene.route(number, &["a"])));
        let frames = [open(1), open(2)];
        scene.asker.say(&frames);
        scene
            .asker
            .until("it is closed", |asker| asker.lost.is_some());
        assert!(
            scene
                .asker
                .lost
                .as_ref()
                .is_some_and(|why| why.contains("HOP"))
        );
        scene.routed.set_table("a", |table| {
            table["workloads"][0]["port"] = json!(scene.routed.server_port());
            table["workloads"][0]["spiffe_id"] = json!(id("db").as_str());
        });
        assert!(scene.routed.send(&sent).unwrap().data.concat() == sent);
    });
}
