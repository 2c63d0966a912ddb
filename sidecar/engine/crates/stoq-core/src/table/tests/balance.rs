//! Which endpoint of a service is chosen, for every weight and load.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

type Standings = HashMap<SocketAddr, Standing>;

fn endpoint(number: usize) -> SocketAddr {
    at(&format!("[fd00::{:x}]:8080", number + 0x10))
}

/// A service with endpoints of these weights, all workloads of the mesh.
fn service(weights: &[u32]) -> Table {
    let address = |number: usize| endpoint(number).ip().to_string();
    let numbers = || 0..weights.len();
    table_with(|t| {
        t["workloads"] = numbers()
            .map(|number| {
                json!({
                    "uid": format!("{number}"), "name": format!("pod-{number}"), "namespace": "n",
                    "spiffe_id": DB, "addresses": [address(number)],
                })
            })
            .collect();
        t["services"] = json!([{
            "name": "s", "namespace": "n", "vips": ["fd53::1"],
            "ports": [{"port": 80, "target": 8080}],
            "endpoints": numbers()
                .map(|number| json!({"address": address(number), "weight": weights[number]}))
                .collect::<Vec<_>>(),
        }]);
    })
}

/// The endpoint that a connection gets; none when it is refused.
fn chosen(
    table: &Table,
    standings: &Standings,
    tried: &[SocketAddr],
    pick: u64,
) -> Option<SocketAddr> {
    let draw = Draw {
        transport: Transport::Tcp,
        pick,
        standing: &|address| standings.get(&address).copied().unwrap_or_default(),
        tried,
        meshed: true,
    };
    match decide_outbound(table, at("[fd53::1]:80"), &draw) {
        Outbound::Mesh { destination, .. } => Some(destination),
        Outbound::Refuse(_) => None,
        other => panic!("{other:?}"),
    }
}

/// Numbers like any others (xorshift64*).
fn picks(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(1u32..10, 1..6)
}

fn standings() -> impl Strategy<Value = Vec<(u32, bool)>> {
    proptest::collection::vec((0u32..50, any::<bool>()), 6)
}

fn standing_of(count: usize, said: &[(u32, bool)]) -> Standings {
    (0..count)
        .map(|number| {
            let (open, ejected) = said[number];
            (endpoint(number), Standing { open, ejected })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_follow_the_weights_when_nothing_is_open(weights in weights(), seed: u64) {
        let table = service(&weights);
        let mut hits: HashMap<SocketAddr, f64> = HashMap::new();
        for pick in picks(seed).take(4000) {
            let to = chosen(&table, &Standings::new(), &[], pick).unwrap();
            *hits.entry(to).or_default() += 1.0 / 4000.0;
        }
        let total: u32 = weights.iter().sum();
        for (number, weight) in weights.iter().enumerate() {
            let share = hits.get(&endpoint(number)).copied().unwrap_or_default();
            let wanted = f64::from(*weight) / f64::from(total);
            prop_assert!((share - wanted).abs() < 0.05, "{share} of {wanted}");
        }
    }

    #[test]
    fn connections_that_stay_open_fill_endpoints_in_proportion_to_weights(
        weights in weights(), seed: u64,
    ) {
        let table = service(&weights);
        let total: u32 = weights.iter().sum();
        let mut standings = Standings::new();
        for pick in picks(seed).take(100 * total as usize) {
            let to = chosen(&table, &standings, &[], pick).unwrap();
            standings.entry(to).or_default().open += 1;
        }
        for (number, weight) in weights.iter().enumerate() {
            let per_weight = f64::from(standings[&endpoint(number)].open) / f64::from(*weight);
            prop_assert!((per_weight - 100.0).abs() < 15.0, "{per_weight}");
        }
    }

    #[test]
    fn an_ejected_endpoint_is_avoided_unless_all_are(
        weights in weights(), said in standings(), seed: u64,
    ) {
        let table = service(&weights);
        let standings = standing_of(weights.len(), &said);
        let all = standings.values().all(|standing| standing.ejected);
        for pick in picks(seed).take(50) {
            let to = chosen(&table, &standings, &[], pick).expect("it serves in any case");
            prop_assert!(all || !standings[&to].ejected);
        }
    }

    #[test]
    fn no_endpoint_is_tried_twice_and_in_the_end_none_is_left(
        weights in weights(), said in standings(), seed: u64,
    ) {
        let table = service(&weights);
        let standings = standing_of(weights.len(), &said);
        let mut tried = Vec::new();
        for pick in picks(seed).take(weights.len()) {
            let to = chosen(&table, &standings, &tried, pick).unwrap();
            prop_assert!(!tried.contains(&to));
            tried.push(to);
        }
        prop_assert_eq!(chosen(&table, &standings, &tried, seed), None);
    }
}

#[test]
fn of_two_the_one_that_is_more_loaded_for_its_weight_gets_nothing() {
    let table = service(&[1, 4]);
    for (one, four, expected) in [(1, 3, 1), (2, 4, 1), (0, 5, 0), (3, 16, 0)] {
        let standings = standing_of(2, &[(one, false), (four, false)]);
        for pick in picks(9).take(50) {
            let to = chosen(&table, &standings, &[], pick);
            assert_eq!(to, Some(endpoint(expected)), "{one} and {four}");
        }
    }
}

#[test]
fn a_connection_that_was_on_its_way_over_the_mesh_does_not_leave_it() {
    let table = table_with(|t| {
        t["services"][0]["endpoints"] =
            json!([{"address": "fd00::3"}, {"address": "2001:db8::1"}, {"address": "fd00::2"}]);
        t["services"][0]["spiffe_ids"] = json!([]);
    });
    let tried = [at("[fd00::3]:80")];
    let next = |meshed| {
        let draw = |pick| Draw {
            transport: Transport::Tcp,
            pick,
            standing: &|_| Standing::default(),
            tried: &tried,
            meshed,
        };
        let mut plain = 0;
        for pick in 0..20 {
            match decide_outbound(&table, at("[fd53::10]:80"), &draw(pick)) {
                Outbound::Passthrough { .. } => plain += 1,
                Outbound::Own { destination } => assert_eq!(destination, at("[fd00::2]:80")),
                other => panic!("{other:?}"),
            }
        }
        plain
    };
    assert!(next(false) > 0);
    assert_eq!(next(true), 0);
}

#[test]
fn an_address_that_is_not_virtual_is_dialled_however_it_stands() {
    let draw = Draw {
        transport: Transport::Tcp,
        pick: 1,
        standing: &|_| Standing {
            open: 9,
            ejected: true,
        },
        tried: &[],
        meshed: false,
    };
    let table = table();
    assert!(matches!(
        decide_outbound(&table, at("[fd00::4]:80"), &draw),
        Outbound::Mesh { service: None, .. }
    ));
}
