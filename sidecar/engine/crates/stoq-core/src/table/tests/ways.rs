use super::*;
use serde_json::json;
use stoq_wire::frame::hop::{Route, RouteId};

const A: &str = "spiffe://td/ns/mesh/sa/a";
const B: &str = "spiffe://td/ns/mesh/sa/b";
const C: &str = "spiffe://far/ns/mesh/sa/c";

/// The second replica of the database is behind gateways: over A and C, or over B.
fn add_ways(value: &mut serde_json::Value) {
    value["gateways"] = json!([
        {"spiffe_id": A, "address": "fd00::a1"},
        {"spiffe_id": A, "address": "fd00::a2", "port": 24000},
        {"spiffe_id": B, "address": "fd00::b"},
    ]);
    value["workloads"][2]["via"] = json!([[A, C], [B]]);
    value["forwards"] = json!([
        {"from": "spiffe://td", "to": DB},
        {"from": WEB, "next": C, "to": "spiffe://far"},
    ]);
}

fn refused(edit: impl FnOnce(&mut serde_json::Value)) -> TableError {
    let mut value = serde_json::from_str(EXAMPLE).unwrap();
    add_ways(&mut value);
    edit(&mut value);
    Table::from_json(&value.to_string()).unwrap_err()
}

fn draw(pick: u64, tried: &[SocketAddr]) -> WayDraw<'_> {
    WayDraw {
        pick,
        standing: &|_| Standing::default(),
        tried,
    }
}

fn names(gateways: &[SpiffeId]) -> Vec<&str> {
    gateways.iter().map(SpiffeId::as_str).collect()
}

#[test]
fn a_workload_without_ways_and_an_unknown_address_are_dialled() {
    let table = table_with(add_ways);
    for address in ["[fd00::3]:14008", "[fd00::77]:14008", "[fd00::4]:14012"] {
        assert_eq!(table.reach(at(address), &draw(0, &[])), Reach::Direct);
    }
}

#[test]
fn one_of_the_ways_is_taken_and_all_replicas_of_its_first_gateway_are() {
    let table = table_with(add_ways);
    let mut seen = std::collections::BTreeMap::new();
    for pick in 0..64 {
        let Reach::Over { first, gateways } = table.reach(at("[fd00::4]:24008"), &draw(pick, &[]))
        else {
            panic!("it has ways")
        };
        assert_eq!(names(gateways)[0], first.spiffe_id.as_str());
        seen.insert(first.address, names(gateways));
    }
    let expected = [
        (at("[fd00::b]:14008"), vec![B]),
        (at("[fd00::a1]:14008"), vec![A, C]),
        (at("[fd00::a2]:24000"), vec![A, C]),
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_gateway_is_dialled_even_where_it_is_a_workload_behind_gateways() {
    let table = table_with(|value| {
        add_ways(value);
        value["gateways"][2] = json!({"spiffe_id": B, "address": "fd00::4", "port": 24008});
    });
    assert_eq!(
        table.reach(at("[fd00::4]:24008"), &draw(0, &[])),
        Reach::Direct
    );
}

#[test]
fn where_all_ways_have_failed_it_is_not_dialled_directly() {
    let table = table_with(add_ways);
    let reach = |tried: &[SocketAddr]| match table.reach(at("[fd00::4]:24008"), &draw(1, tried)) {
        Reach::Over { first, .. } => Some(first.address),
        Reach::Nowhere => None,
        Reach::Direct => panic!("never"),
    };
    let mut tried = Vec::new();
    while let Some(address) = reach(&tried) {
        assert!(!tried.contains(&address));
        tried.push(address);
    }
    assert_eq!(tried.len(), 3);
}

#[test]
fn a_way_whose_first_gateway_has_no_replica_leads_nowhere() {
    let table = table_with(|value| {
        add_ways(value);
        value["gateways"] = json!([]);
    });
    assert_eq!(
        table.reach(at("[fd00::4]:24008"), &draw(0, &[])),
        Reach::Nowhere
    );
}

#[test]
fn a_gateway_that_is_ejected_is_passed_over_while_there_is_another() {
    let table = table_with(add_ways);
    let only = |left: &str| {
        let left = at(left);
        move |address: SocketAddr| Standing {
            open: 0,
            ejected: address != left,
        }
    };
    for left in ["[fd00::a2]:24000", "[fd00::b]:14008"] {
        for pick in 0..16 {
            let draw = WayDraw {
                standing: &only(left),
                ..draw(pick, &[])
            };
            let Reach::Over { first, .. } = table.reach(at("[fd00::4]:24008"), &draw) else {
                panic!("it has ways")
            };
            assert_eq!(first.address, at(left));
        }
    }
    let found = table.gateway(B, &draw(0, &[])).unwrap();
    assert_eq!(found.address, at("[fd00::b]:14008"));
    assert_eq!(table.gateway(C, &draw(0, &[])), None);
}

#[test]
fn a_route_ends_only_where_the_workload_is_known_to_listen() {
    let table = table_with(add_ways);
    assert!(table.ends_route(at("[fd00::3]:14008"), DB));
    assert!(table.ends_route(at("[::ffff:10.0.0.3]:14008"), DB));
    for (address, identity) in [
        ("[fd00::3]:14012", DB),
        ("[fd00::3]:14008", WEB),
        ("[fd00::99]:14008", DB),
        // That one is behind gateways itself.
        ("[fd00::4]:24008", DB),
    ] {
        assert!(!table.ends_route(at(address), identity), "{address}");
    }
}

#[test]
fn rules_are_read_and_decide() {
    let table = table_with(add_ways);
    let rules = table.forwards().to_vec();
    let mut gateway = stoq_frames::hop::Gateway::new(stoq_frames::hop::Limits::default(), rules);
    let route = |id: u8, gateways: &[&str], identity: &str| Route {
        id: RouteId([id; 16]),
        position: 0,
        gateways: gateways.iter().map(ToString::to_string).collect(),
        destination: at("[fd00::3]:14008"),
        identity: identity.to_owned(),
    };
    assert!(gateway.open(A, DB, None, route(1, &[A], DB)).is_ok());
    let far = "spiffe://far/ns/shop/sa/stock";
    assert!(gateway.open(A, WEB, None, route(2, &[A, C], far)).is_ok());
    assert!(gateway.open(A, DB, None, route(3, &[A, C], far)).is_err());
    assert!(gateway.open(A, WEB, None, route(4, &[A], far)).is_err());
}

#[test]
fn ways_that_no_gateway_would_take_are_refused_by_their_field() {
    let way = |way: serde_json::Value| refused(|t| t["workloads"][2]["via"][1] = way);
    for (error, text) in [
        (way(json!([])), "empty"),
        (way(json!([A])), "begins as via[0] does"),
        (way(json!([B, A, B])), "comes twice"),
        (way(json!([B, DB])), "is the workload itself"),
        (
            way(json!([
                B,
                A,
                C,
                WEB,
                "spiffe://td/ns/a/sa/1",
                "spiffe://td/ns/a/sa/2",
                "spiffe://td/ns/a/sa/3",
                "spiffe://td/ns/a/sa/4",
                "spiffe://td/ns/a/sa/5"
            ])),
            "at most 8",
        ),
    ] {
        assert_eq!(error.field, "workloads[2].via[1]");
        assert!(error.problem.contains(text), "{error}");
    }
    let error = refused(|t| t["workloads"][2]["via"][0][1] = json!("gateway"));
    assert!(error.field.starts_with("workloads[2].via[0]"), "{error}");
    let error = refused(|t| t["gateways"][2]["address"] = json!("fd00::a1"));
    assert_eq!(error.field, "gateways[2].address");
    let error = refused(|t| t["forwards"][0]["from"] = json!("everyone"));
    assert!(
        error.to_string().contains("\"everyone\" names nobody"),
        "{error}"
    );
}
