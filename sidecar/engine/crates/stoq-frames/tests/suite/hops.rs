//! Routes over a gateway.

use std::time::{Duration, Instant};

use stoq_frames::hop::{Gateway, Limits, Next, RouteRefusal, Rule, Who};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::hop::{Route, RouteId};

const PEER: &str = "spiffe://one.example/ns/shop/sa/web";
const HERE: &str = "spiffe://one.example/ns/mesh/sa/gateway";
const THERE: &str = "spiffe://two.example/ns/mesh/sa/gateway";
const END: &str = "spiffe://two.example/ns/shop/sa/stock";

fn route(id: u8, position: u8, gateways: &[&str]) -> Route {
    Route {
        id: RouteId([id; 16]),
        position,
        gateways: gateways.iter().map(ToString::to_string).collect(),
        destination: "[fd00::9]:14008".parse().unwrap(),
        identity: END.to_owned(),
    }
}

fn rules() -> Vec<Rule> {
    let domain = |name: &str| Who::TrustDomain(name.to_owned());
    vec![
        Rule {
            from: domain("one.example"),
            next: Some(Who::Exactly(THERE.to_owned())),
            to: domain("two.example"),
        },
        Rule {
            from: Who::Exactly(THERE.to_owned()),
            next: None,
            to: Who::Anyone,
        },
    ]
}

fn gateway(limits: Limits) -> Gateway {
    Gateway::new(HERE.to_owned(), limits, rules())
}

#[test]
fn a_route_leads_to_the_next_gateway_and_then_to_its_end() {
    let (mut gateway, now) = (gateway(Limits::default()), Instant::now());
    let found = gateway.open(PEER, route(1, 0, &[HERE, THERE]), now);
    let expected = Next::Gateway {
        identity: THERE.to_owned(),
        route: route(1, 1, &[HERE, THERE]),
    };
    assert_eq!(found, Ok(expected));
    let found = gateway.open(THERE, route(2, 1, &[THERE, HERE]), now);
    let expected = Next::Destination {
        address: "[fd00::9]:14008".parse().unwrap(),
        identity: END.to_owned(),
    };
    assert_eq!(found, Ok(expected));
    assert_eq!(gateway.len(), 2);
}

#[test]
fn what_no_rule_lets_pass_is_refused() {
    let (mut gateway, now) = (gateway(Limits::default()), Instant::now());
    for (from, gateways) in [
        (PEER, &[HERE] as &[_]),
        (PEER, &[HERE, "spiffe://two.example/ns/a/sa/b"]),
        ("spiffe://one.example.evil/ns/a/sa/b", &[HERE, THERE]),
        ("spiffe://one.exampl", &[HERE, THERE]),
    ] {
        let refused = gateway.open(from, route(1, 0, gateways), now).unwrap_err();
        assert_eq!(
            (refused, refused.code()),
            (RouteRefusal::Denied, StreamCode::Denied)
        );
    }
    gateway.set_rules(vec![]);
    let refused = gateway.open(PEER, route(1, 0, &[HERE, THERE]), now);
    assert_eq!(refused, Err(RouteRefusal::Denied));
    assert!(gateway.is_empty());
}

#[test]
fn a_route_that_is_not_here_or_comes_back_is_refused() {
    let (mut gateway, now) = (gateway(Limits::default()), Instant::now());
    let code = |gateway: &mut Gateway, route| gateway.open(PEER, route, now).unwrap_err().code();
    for route in [
        route(1, 1, &[HERE, THERE]),
        route(1, 0, &[THERE, HERE]),
        route(1, 7, &[HERE]),
    ] {
        assert_eq!(code(&mut gateway, route), StreamCode::NoRoute);
    }
    for gateways in [
        &[HERE, THERE, HERE],
        &[HERE, THERE, THERE],
        &[HERE, THERE, END],
    ] {
        assert_eq!(code(&mut gateway, route(1, 0, gateways)), StreamCode::Loop);
    }
    gateway
        .open(PEER, route(1, 0, &[HERE, THERE]), now)
        .unwrap();
    assert_eq!(
        code(&mut gateway, route(1, 0, &[HERE, THERE])),
        StreamCode::Loop
    );
    gateway.close(RouteId([1; 16]));
    assert!(gateway.open(PEER, route(1, 0, &[HERE, THERE]), now).is_ok());
}

#[test]
fn a_gateway_has_bounds() {
    let limits = Limits {
        gateways: 2,
        routes: 3,
        routes_each: 2,
        ..Limits::default()
    };
    let (mut gateway, now) = (gateway(limits), Instant::now());
    let other = "spiffe://one.example/ns/shop/sa/other";
    let mut open = |from, id, gateways: &[&str]| {
        gateway
            .open(from, route(id, 0, gateways), now)
            .map_err(|refusal| refusal.code())
    };
    assert_eq!(open(PEER, 9, &[HERE, THERE, "x"]), Err(StreamCode::Refused));
    assert!(open(PEER, 1, &[HERE, THERE]).is_ok());
    assert!(open(PEER, 2, &[HERE, THERE]).is_ok());
    assert_eq!(open(PEER, 3, &[HERE, THERE]), Err(StreamCode::Refused));
    assert!(open(other, 3, &[HERE, THERE]).is_ok());
    assert_eq!(open(other, 4, &[HERE, THERE]), Err(StreamCode::Refused));
}

#[test]
fn packets_without_room_or_route_are_dropped_and_counted() {
    let limits = Limits {
        bytes: 100,
        ..Limits::default()
    };
    let (mut gateway, now) = (gateway(limits), Instant::now());
    let id = RouteId([1; 16]);
    assert!(!gateway.enqueue(id, 1, now));
    gateway
        .open(PEER, route(1, 0, &[HERE, THERE]), now)
        .unwrap();
    assert!(gateway.enqueue(id, 60, now));
    assert!(!gateway.enqueue(id, 60, now));
    gateway.sent(id, 60);
    assert!(gateway.enqueue(id, 100, now));
    assert_eq!(gateway.dropped, 2);
}

#[test]
fn a_route_that_forwards_nothing_ends() {
    let (mut gateway, start) = (gateway(Limits::default()), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let id = RouteId([1; 16]);
    gateway
        .open(PEER, route(1, 0, &[HERE, THERE]), start)
        .unwrap();
    assert!(gateway.enqueue(id, 1, at(59)));
    assert!(gateway.expire(at(60)).is_empty());
    assert_eq!(gateway.expire(at(119)), [id]);
    assert!(gateway.is_empty());
}
