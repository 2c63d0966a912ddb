use serde_json::{Value, json};
use stoq_wire::code::StreamCode;
use stoq_wire::head::{FlowId, StreamHead, StreamKind};

use super::*;

/// The service `db`, mirrored so, and a shadow with an endpoint in the mesh.
fn mirrored(mirrors: &Value) -> Table {
    table_with(|table| {
        table["services"][0]["mirrors"] = mirrors.clone();
        table["services"].as_array_mut().unwrap().push(json!({
            "name": "db-shadow", "namespace": "shop", "vips": ["fd53::12", "240.0.0.1"],
            "ports": [{"port": 5432, "target": 25432}],
            "endpoints": [{"address": "fd00::4"}],
        }));
    })
}

fn shadows<'t>(table: &'t Table, dialled: &str, flow: u128) -> Vec<Option<Shadow<'t>>> {
    let draw = Draw {
        transport: Transport::Tcp,
        pick: 0,
        standing: &|_| Standing::default(),
        tried: &[],
        meshed: false,
    };
    decide_mirrors(table, at(dialled), &flow.to_be_bytes(), &draw)
}

#[test]
fn a_copy_goes_to_an_endpoint_of_the_shadow_on_the_port_that_was_dialled() {
    for vip in ["fd53::12", "240.0.0.1"] {
        let table = mirrored(&json!([{"vip": vip, "share": 10_000}]));
        let found = shadows(&table, "[fd53::10]:5432", 1);
        let [Some(shadow)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(shadow.peer.name, "db-1");
        assert_eq!(shadow.stoq, at("[fd00::4]:24008"));
        assert_eq!(shadow.destination, at("[fd00::4]:25432"));
        assert_eq!((shadow.expect.as_str(), shadow.share), (DB, 10_000));
    }
}

#[test]
fn the_flow_id_alone_says_whether_a_flow_is_copied() {
    let table = mirrored(&json!([{"vip": "fd53::12", "share": 1000}]));
    let copied = |flow| !shadows(&table, "[fd53::10]:5432", flow).is_empty();
    let count = (0..10_000).filter(|flow| copied(*flow)).count();
    assert!((900..1100).contains(&count), "{count}");
    assert!((0..100).all(|flow| copied(flow) == copied(flow)));
}

#[test]
fn what_the_shadow_does_not_serve_in_the_mesh_has_no_copy() {
    let table = mirrored(&json!([{"vip": "fd53::12", "share": 10_000}]));
    assert_eq!(shadows(&table, "[fd53::10]:80", 1), [None], "no such port");
    let table = mirrored(&json!([{"vip": "fd53::11", "share": 10_000}]));
    assert_eq!(shadows(&table, "[fd53::10]:443", 1), [None], "no plaintext");
}

#[test]
fn what_is_not_mirrored_has_no_copy() {
    let table = mirrored(&json!([{"vip": "fd53::12", "share": 10_000}]));
    assert_eq!(shadows(&table, "[fd53::11]:443", 1), []);
    assert_eq!(shadows(&table, "[fd00::3]:15432", 1), []);
    assert_eq!(shadows(&table, "[fd53::12]:5432", 1), []);
}

#[test]
fn a_mirror_that_contradicts_the_table_is_named() {
    let refused = |mirror: Value| {
        let mut value: Value = serde_json::from_str(EXAMPLE).unwrap();
        value["services"][0]["mirrors"] = json!([mirror]);
        Table::from_json(&value.to_string()).unwrap_err()
    };
    let error = refused(json!({"vip": "fd53::10", "share": 1}));
    assert_eq!(error.field, "services[0].mirrors[0].vip");
    assert!(error.problem.contains("own"), "{error}");
    let error = refused(json!({"vip": "fd53::99", "share": 1}));
    assert!(error.problem.contains("fd53::99"), "{error}");
    for share in [0, 10_001] {
        let error = refused(json!({"vip": "fd53::11", "share": share}));
        assert_eq!(error.field, "services[0].mirrors[0].share");
        assert!(error.problem.contains(&share.to_string()), "{error}");
    }
}

fn incoming(table: &Table, destination: &str, peer: &str) -> InboundStream {
    let head = StreamHead {
        kind: StreamKind::Frames,
        resume: false,
        tokens: false,
        flow: FlowId([1; 16]),
        sent: 0,
        received: 0,
        source: at("[fd00::3]:40000"),
        destination: at(destination),
    };
    decide_inbound_mirror(table, &head, &peer.parse().unwrap())
}

#[test]
fn a_workload_that_is_no_shadow_takes_no_copy() {
    let denied = InboundStream::Refuse(StreamCode::Denied);
    assert_eq!(incoming(&table(), "[fd00::2]:80", DB), denied);
    assert_eq!(incoming(&Table::closed(), "[fd00::2]:80", DB), denied);
}

#[test]
fn a_shadow_takes_copies_of_those_whom_it_expects_them_from() {
    let taken = InboundStream::Connect(at("[fd00::2]:80"));
    let denied = InboundStream::Refuse(StreamCode::Denied);
    let everyones = table_with(|table| table["mirrors_from"] = json!([]));
    assert_eq!(incoming(&everyones, "[fd00::2]:80", DB), taken);
    let dbs = table_with(|table| table["mirrors_from"] = json!([DB]));
    assert_eq!(incoming(&dbs, "[fd00::2]:80", DB), taken);
    let webs = table_with(|table| table["mirrors_from"] = json!([WEB]));
    assert_eq!(incoming(&webs, "[fd00::2]:80", DB), denied);
}

#[test]
fn a_copy_is_held_against_the_rules_for_flows() {
    let table = table_with(|table| {
        table["mirrors_from"] = json!([]);
        table["access"] = json!([{"policy": "shop/no", "action": "deny", "ports": [[81, 81]]}]);
    });
    let refused = |code| InboundStream::Refuse(code);
    let not_mine = refused(StreamCode::NotMine);
    assert_eq!(incoming(&table, "[fd00::3]:80", DB), not_mine);
    let own_port = refused(StreamCode::ForbiddenPort);
    assert_eq!(incoming(&table, "[fd00::2]:14000", DB), own_port);
    let lied = refused(StreamCode::Denied);
    assert_eq!(incoming(&table, "[fd00::2]:80", WEB), lied);
    let access = refused(StreamCode::AccessDenied);
    assert_eq!(incoming(&table, "[fd00::2]:81", DB), access);
}
