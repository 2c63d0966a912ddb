//! Routes over a gateway.

use proptest::prelude::*;
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
            origin: None,
            next: Some(Who::Exactly(THERE.to_owned())),
            to: domain("two.example"),
        },
        Rule {
            from: Who::Exactly(THERE.to_owned()),
            origin: None,
            next: None,
            to: Who::Anyone,
        },
    ]
}

fn gateway(limits: Limits) -> Gateway {
    Gateway::new(limits, rules())
}

#[test]
fn a_route_leads_to_the_next_gateway_and_then_to_its_end() {
    let mut gateway = gateway(Limits::default());
    let found = gateway.open(HERE, PEER, None, route(1, 0, &[HERE, THERE]));
    let expected = Next::Gateway {
        identity: THERE.to_owned(),
        route: route(1, 1, &[HERE, THERE]),
    };
    assert_eq!(found, Ok(expected));
    let found = gateway.open(HERE, THERE, None, route(2, 1, &[THERE, HERE]));
    let expected = Next::Destination {
        address: "[fd00::9]:14008".parse().unwrap(),
        identity: END.to_owned(),
    };
    assert_eq!(found, Ok(expected));
    assert_eq!(gateway.len(), 2);
}

#[test]
fn what_no_rule_lets_pass_is_refused() {
    let mut gateway = gateway(Limits::default());
    for (from, gateways) in [
        (PEER, &[HERE] as &[_]),
        (PEER, &[HERE, "spiffe://two.example/ns/a/sa/b"]),
        ("spiffe://one.example.evil/ns/a/sa/b", &[HERE, THERE]),
        ("spiffe://one.exampl", &[HERE, THERE]),
    ] {
        let refused = gateway
            .open(HERE, from, None, route(1, 0, gateways))
            .unwrap_err();
        assert_eq!(
            (refused, refused.code()),
            (RouteRefusal::Denied, StreamCode::Denied)
        );
    }
    gateway.set_rules(vec![]);
    let refused = gateway.open(HERE, PEER, None, route(1, 0, &[HERE, THERE]));
    assert_eq!(refused, Err(RouteRefusal::Denied));
    assert!(gateway.is_empty());
}

#[test]
fn a_route_that_is_not_here_or_comes_back_is_refused() {
    let mut gateway = gateway(Limits::default());
    let code =
        |gateway: &mut Gateway, route| gateway.open(HERE, PEER, None, route).unwrap_err().code();
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
        .open(HERE, PEER, None, route(1, 0, &[HERE, THERE]))
        .unwrap();
    assert_eq!(
        code(&mut gateway, route(1, 0, &[HERE, THERE])),
        StreamCode::Loop
    );
    gateway.close(&RouteId([1; 16]));
    assert!(
        gateway
            .open(HERE, PEER, None, route(1, 0, &[HERE, THERE]))
            .is_ok()
    );
}

#[test]
fn a_gateway_has_bounds() {
    let limits = Limits {
        gateways: 2,
        routes: 3,
        routes_each: 2,
        ..Limits::default()
    };
    let mut gateway = gateway(limits);
    let other = "spiffe://one.example/ns/shop/sa/other";
    let mut open = |from, id, gateways: &[&str]| {
        gateway
            .open(HERE, from, None, route(id, 0, gateways))
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
fn a_route_that_other_rules_do_not_let_pass_is_admitted_no_more() {
    let mut gateway = gateway(Limits::default());
    let id = RouteId([1; 16]);
    assert!(!gateway.admits(&id), "nobody has opened it");
    gateway
        .open(HERE, PEER, None, route(1, 0, &[HERE, THERE]))
        .unwrap();
    assert!(gateway.admits(&id));
    gateway.set_rules(rules()[1..].to_vec());
    assert!(!gateway.admits(&id));
    gateway.set_rules(rules());
    assert!(gateway.admits(&id));
    gateway.close(&id);
    assert!(!gateway.admits(&id));
}

proptest! {
    /// Whatever is asked for, what is open stays within the limits, names no gateway twice and was
    /// let pass by a rule.
    #[test]
    fn limits_and_rules_hold_in_any_order(
        asked in proptest::collection::vec((0..6_u8, 0..4_usize, 0..6_u8, any::<bool>()), 0..200),
    ) {
        let limits = Limits { routes: 4, routes_each: 2, gateways: 2, ..Limits::default() };
        let mut gateway = gateway(limits);
        let peers = [PEER, THERE, "spiffe://one.example/ns/a/sa/b", "spiffe://evil.example/ns/a/sa/b"];
        let ways: [(u8, &[&str]); 6] = [
            (0, &[HERE, THERE]),
            (1, &[THERE, HERE]),
            (0, &[HERE, HERE]),
            (0, &[HERE, END]),
            (0, &[HERE]),
            (0, &[HERE, THERE, "spiffe://two.example/ns/a/sa/b"]),
        ];
        let mut open = std::collections::HashMap::new();
        for (id, peer, way, close) in asked {
            if close {
                gateway.close(&RouteId([id; 16]));
                open.remove(&id);
                continue;
            }
            let (position, gateways) = ways[usize::from(way)];
            let taken = gateway.open(HERE, peers[peer], None, route(id, position, gateways));
            if taken.is_ok() {
                prop_assert!([0, 1, 4].contains(&way), "the others lead nowhere");
                prop_assert!(open.insert(id, peer).is_none(), "it was open already");
                prop_assert_eq!(peers[peer] == THERE, way != 0, "{}", way);
            }
            prop_assert!(open.len() <= limits.routes);
            for peer in 0..peers.len() {
                let of_peer = open.values().filter(|other| **other == peer).count();
                prop_assert!(of_peer <= limits.routes_each);
            }
            prop_assert_eq!(gateway.len(), open.len());
        }
    }
}
