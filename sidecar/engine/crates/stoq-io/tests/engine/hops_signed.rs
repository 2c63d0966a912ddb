//! Routes that say who began them, and gateways that want to know.

use std::time::Duration;

use serde_json::json;
use stoq_core::tls::TlsContext;
use stoq_frames::hop::{ROUTE_LIFE, route_digest};
use stoq_wire::code::StreamCode;
use stoq_wire::extension::HOPS;
use stoq_wire::frame::Frame;
use stoq_wire::frame::hop::{Hop, Route, RouteId};
use stoq_wire::frame::signature::{Signature, Subject};
use stoq_wire::parameters::StoqParameters;

use crate::asker::Asker;
use crate::mesh::{eventually, id};
use crate::net::in_namespace;
use crate::routed::{Routed, object, offered};

/// A rule of the last gateway: the first one asks, and somebody has begun it.
fn for_those_of(from: &str, origin: &str) -> serde_json::Value {
    json!([{"from": id(from).as_str(), "origin": id(origin).as_str(), "to": "*"}])
}

#[test]
fn a_gateway_behind_another_knows_who_began_a_route() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a", "b"]]);
        routed.set_rules("b", &for_those_of("a", "web"));
        let sent = object(100_000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        assert_eq!(routed.gateway("b").snapshot().counters.routes_opened, 1);
    });
}

#[test]
fn a_route_of_somebody_else_is_denied_behind_another_gateway_too() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a", "b"]]);
        routed.set_rules("b", &for_those_of("a", "other"));
        let why = routed.send(&object(10)).unwrap_err();
        assert!(why.contains("denied"), "{why}");
        assert_eq!(routed.gateway("b").snapshot().counters.routes_refused, 1);
        assert!(routed.db.connections().is_empty());
    });
}

#[test]
fn a_gateway_that_takes_no_signatures_is_sent_none_and_so_is_the_next() {
    in_namespace(|| {
        let plain = StoqParameters {
            extensions: HOPS,
            ..StoqParameters::default()
        };
        let routed = Routed::with_offers(&[&["a", "b"]], offered(), &[("a", plain)]);
        let sent = object(1000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
        routed.set_rules("b", &for_those_of("a", "web"));
        eventually("the route that nobody signed has ended", || {
            routed.gateway("b").snapshot().gauges.routes == 0
        });
        assert!(routed.send(&sent).unwrap_err().contains("denied"));
    });
}

/// A gateway that wants to know, and a peer with the client's identity.
struct Scene {
    routed: Routed,
    asker: Asker,
}

impl Scene {
    fn new() -> Self {
        let routed = Routed::over(&[&["a"]]);
        routed.set_rules("a", &for_those_of("web", "web"));
        let asker = Asker::connect(&routed.identity("web"), routed.address("a"));
        Self { routed, asker }
    }

    fn route(&self, number: u8) -> Route {
        let mut destination = self.routed.address("a");
        destination.set_port(self.routed.server_port());
        Route {
            id: RouteId([number; 16]),
            position: 0,
            gateways: vec![id("a").to_string()],
            destination,
            identity: id("db").to_string(),
        }
    }

    /// What the gateway says to a route with these frames before it.
    fn refused(&mut self, before: &[Frame], route: &Route) -> Option<StreamCode> {
        let frames = [before, &[Frame::Hop(Hop::Open(route.clone()))]].concat();
        let stream = self.asker.say(&frames);
        self.asker.code_of(stream)
    }
}

fn signed(by: &TlsContext, route: &Route) -> (Vec<u8>, Signature) {
    let digest = route_digest(route).unwrap();
    by.sign_frame(Subject::Route, digest, ROUTE_LIFE).unwrap()
}

fn frames((leaf, signature): (Vec<u8>, Signature)) -> [Frame; 2] {
    [
        Frame::Hop(Hop::Origin(leaf.into())),
        Frame::Signature(signature),
    ]
}

#[test]
fn what_does_not_prove_who_began_a_route_is_refused_and_nothing_else_is_touched() {
    in_namespace(|| {
        let mut scene = Scene::new();
        let web = scene.routed.identity("web");
        let route = scene.route(1);
        assert_eq!(scene.refused(&[], &route), Some(StreamCode::Denied));

        let good = signed(&web, &route);
        let of_another_route = signed(&web, &scene.route(2));
        let (_, by_another_key) = signed(&scene.routed.identity("web"), &route);
        let mut forged = good.clone();
        forged.1.signature[100] ^= 1;
        let mut unknown = good.clone();
        unknown.0 = signed(&crate::mesh::Authority::new().workload("web"), &route).0;
        for wrong in [
            of_another_route,
            (good.0.clone(), by_another_key),
            forged,
            unknown,
        ] {
            let code = scene.refused(&frames(wrong), &route);
            assert_eq!(code, Some(StreamCode::BadSignature));
        }
        let [origin, _] = frames(good.clone());
        let code = scene.refused(&[origin], &route);
        assert_eq!(code, Some(StreamCode::BadSignature), "nothing is signed");

        let Scene { routed, mut asker } = scene;
        let gateway = routed.gateway("a");
        assert_eq!(gateway.snapshot().streams_refused["bad_signature"], 5);
        asker.say(
            &[
                &frames(good.clone())[..],
                &[Frame::Hop(Hop::Open(route.clone()))],
            ]
            .concat(),
        );
        // Longer than what may leave at once: the asker has to go on.
        asker.until("the good one is taken", |_| {
            gateway.snapshot().gauges.routes == 1
        });
        let mut second = Asker::connect(&web, routed.address("a"));
        let again = Route { ..route };
        let stream = second.say(&[&frames(good)[..], &[Frame::Hop(Hop::Open(again))]].concat());
        let code = second.code_of(stream);
        assert_eq!(code, Some(StreamCode::BadSignature), "it is used up");
        let sent = object(1000);
        assert!(routed.send(&sent).unwrap().data.concat() == sent);
    });
}

#[test]
fn nobody_begins_a_route_that_somebody_else_has_signed() {
    in_namespace(|| {
        let mut scene = Scene::new();
        scene.routed.set_rules("a", &for_those_of("other", "web"));
        let seen = signed(&scene.routed.identity("web"), &scene.route(1));
        let other = scene.routed.identity("other");
        scene.asker = Asker::connect(&other, scene.routed.address("a"));
        let code = scene.refused(&frames(seen), &scene.route(1));
        assert_eq!(code, Some(StreamCode::BadSignature));
    });
}

#[test]
fn a_route_ends_when_its_origin_is_revoked_and_others_stay() {
    in_namespace(|| {
        let routed = Routed::over(&[&["a", "b"]]);
        routed.send(&object(1000)).unwrap();
        assert_eq!(routed.gateway("b").snapshot().gauges.routes, 1);
        routed.revoke_at("b", "other");
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(routed.gateway("b").snapshot().gauges.routes, 1);
        routed.revoke_at("b", "web");
        eventually("the route has ended", || {
            routed.gateway("b").snapshot().gauges.routes == 0
        });
        let refused = routed.gateway("b").snapshot().streams_refused;
        assert!(refused["bad_signature"] >= 1, "{refused:?}");
        assert_eq!(
            routed.gateway("b").connections().len(),
            1,
            "the gateway before it is still there"
        );
    });
}
