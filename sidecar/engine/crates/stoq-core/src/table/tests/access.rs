use super::*;
use serde_json::{Value, json};
use stoq_wire::code::StreamCode;
use stoq_wire::head::{FlowId, StreamHead, StreamKind};

/// The example with these rules.
fn with_rules(rules: Value) -> Table {
    table_with(|t| t["access"] = rules)
}

/// What a stream from `peer` to port 80 comes to.
fn stream(table: &Table, peer: &str) -> InboundStream {
    let head = StreamHead {
        kind: StreamKind::Tcp,
        resume: false,
        tokens: false,
        flow: FlowId([0; 16]),
        sent: 0,
        received: 0,
        source: at("[fd00::77]:4000"),
        destination: at("[fd00::2]:80"),
    };
    decide_inbound_stream(table, &head, &SpiffeId::parse(peer).unwrap())
}

fn admitted(table: &Table, peer: &str) -> bool {
    match stream(table, peer) {
        InboundStream::Connect(_) => true,
        InboundStream::Refuse(StreamCode::AccessDenied) => false,
        other => panic!("{other:?}"),
    }
}

fn tallies(table: &Table, peer: &str, port: u16) -> Vec<(String, &'static str, bool)> {
    let ruling = table
        .access()
        .rule(Some(&SpiffeId::parse(peer).unwrap()), port);
    let plain = |t: &AccessTally| (t.policy.to_string(), t.effect.name(), t.dry_run);
    ruling.tallies.iter().map(plain).collect()
}

const JOB: &str = "spiffe://td/ns/batch/sa/job";
const FOREIGN: &str = "spiffe://elsewhere/ns/shop/sa/db";

#[test]
fn without_rules_every_workload_of_the_mesh_is_let_in() {
    assert!(admitted(&table(), DB));
    assert!(table().access().rule(None, 80).admits());
}

#[test]
fn a_peer_is_named_by_id_by_namespace_or_by_service_account() {
    for list in [
        json!({"spiffe_ids": [DB]}),
        json!({"namespaces": ["shop"]}),
        json!({"service_accounts": ["shop/db"]}),
        json!({"spiffe_ids": [WEB], "namespaces": ["shop"]}),
    ] {
        let mut rule = list.clone();
        rule["policy"] = json!("shop/p");
        rule["action"] = json!("allow");
        let table = with_rules(json!([rule]));
        assert!(admitted(&table, DB), "{list}");
        assert!(!admitted(&table, JOB), "{list}");
    }
}

#[test]
fn deny_wins_whatever_the_order() {
    let allow = json!({"policy": "shop/all", "action": "allow"});
    let deny = json!({"policy": "shop/no-db", "action": "deny", "spiffe_ids": [DB]});
    for rules in [json!([allow, deny]), json!([deny, allow])] {
        let table = with_rules(rules);
        assert!(!admitted(&table, DB));
        assert!(admitted(&table, JOB));
    }
}

#[test]
fn a_deny_rule_alone_leaves_the_others_in() {
    let table = with_rules(json!([{"policy": "p/p", "action": "deny", "namespaces": ["batch"]}]));
    assert!(admitted(&table, DB));
    assert!(!admitted(&table, JOB));
}

#[test]
fn an_allow_rule_for_one_port_closes_the_others() {
    let table = with_rules(json!([
        {"policy": "p/p", "action": "allow", "ports": [[80, 80], [8000, 8010]]},
    ]));
    let rule = |port| {
        let db = SpiffeId::parse(DB).unwrap();
        table.access().rule(Some(&db), port).admits()
    };
    for (port, open) in [
        (80, true),
        (81, false),
        (8000, true),
        (8010, true),
        (8011, false),
    ] {
        assert_eq!(rule(port), open, "{port}");
    }
}

#[test]
fn a_dry_run_refuses_nobody_and_is_counted() {
    let table = with_rules(json!([
        {"policy": "p/no", "action": "deny", "dry_run": true, "spiffe_ids": [DB]},
        {"policy": "p/web", "action": "allow", "dry_run": true, "spiffe_ids": [WEB]},
    ]));
    assert!(admitted(&table, DB));
    assert_eq!(
        tallies(&table, DB, 80),
        [
            ("p/no".to_owned(), "deny", true),
            ("p/web".to_owned(), "not_allowed", true)
        ]
    );
    assert_eq!(
        tallies(&table, WEB, 80),
        [("p/web".to_owned(), "allow", true)]
    );
}

#[test]
fn a_dry_run_is_judged_beside_what_is_enforced() {
    let table = with_rules(json!([
        {"policy": "p/db", "action": "allow", "spiffe_ids": [DB]},
        {"policy": "p/web", "action": "allow", "dry_run": true, "spiffe_ids": [WEB]},
    ]));
    // Another policy admits it already: adding this one would refuse nobody.
    assert_eq!(
        tallies(&table, DB, 80),
        [("p/db".to_owned(), "allow", false)]
    );
    // This one would admit it, and does not yet.
    assert!(!admitted(&table, WEB));
    assert_eq!(
        tallies(&table, WEB, 80),
        [
            ("p/web".to_owned(), "allow", true),
            ("p/db".to_owned(), "not_allowed", false)
        ]
    );
}

#[test]
fn a_refusal_names_every_policy_that_refuses() {
    let table = with_rules(json!([
        {"policy": "shop/only-web", "action": "allow", "spiffe_ids": [WEB]},
        {"policy": "shop/only-web", "action": "allow", "ports": [[9, 9]]},
        {"policy": "shop/no-db", "action": "deny", "spiffe_ids": [DB]},
        {"policy": "shop/tried", "action": "deny", "dry_run": true},
    ]));
    let ruling = table.access().rule(Some(&SpiffeId::parse(DB).unwrap()), 80);
    assert_eq!(
        ruling.refused_by(),
        "shop/no-db denies it, shop/only-web does not allow it"
    );
}

#[test]
fn a_namespace_is_one_of_our_own_trust_domain() {
    let allow = json!([{"policy": "p/p", "action": "allow", "namespaces": ["shop"]}]);
    assert!(!admitted(&with_rules(allow), FOREIGN));
    let deny = json!([{"policy": "p/p", "action": "deny", "service_accounts": ["shop/db"]}]);
    assert!(admitted(&with_rules(deny), FOREIGN));
}

#[test]
fn while_our_trust_domain_is_not_known_names_let_nobody_in() {
    let unknown = |rules: Value| {
        table_with(|t| {
            t["access"] = rules;
            t["workloads"].as_array_mut().unwrap().remove(0);
        })
    };
    let allow = json!([{"policy": "p/p", "action": "allow", "namespaces": ["shop"]}]);
    assert!(!admitted(&unknown(allow), DB));
    let deny = json!([{"policy": "p/p", "action": "deny", "namespaces": ["shop"]}]);
    assert!(!admitted(&unknown(deny), DB));
}

#[test]
fn plaintext_is_only_what_rules_for_everyone_admit() {
    let plaintext = |rules: Value, source: &str| {
        decide_inbound_plaintext(&with_rules(rules), at(source), at("[fd00::2]:8080"))
    };
    let named = json!([{"policy": "p/p", "action": "allow", "spiffe_ids": [DB]}]);
    let everyone = json!([{"policy": "p/p", "action": "allow"}]);
    assert_eq!(
        plaintext(named.clone(), "[fd00::99]:1"),
        InboundPlaintext::Refuse(Reason::AccessDenied)
    );
    assert_eq!(
        plaintext(everyone, "[fd00::99]:1"),
        InboundPlaintext::Admit(Admission::Permissive)
    );
    // A probe passes in any mode, and a workload reaches itself.
    assert_eq!(
        plaintext(named.clone(), "[fd00::1]:1"),
        InboundPlaintext::Admit(Admission::Probe)
    );
    assert_eq!(
        plaintext(named, "[fd00::2]:1"),
        InboundPlaintext::Admit(Admission::Permissive)
    );
}

#[test]
fn a_rule_that_cannot_be_is_refused_and_named() {
    let refused = |rule: Value| {
        let mut value: Value = serde_json::from_str(EXAMPLE).unwrap();
        value["access"] = json!([rule]);
        Table::from_json(&value.to_string()).unwrap_err()
    };
    let error = refused(json!({"policy": "p/p", "action": "refuse"}));
    assert_eq!(error.field, "access[0].action");
    let error = refused(json!({"policy": "p/p", "action": "deny", "service_accounts": ["db"]}));
    assert_eq!(error.field, "access[0].service_accounts[0]");
    assert!(error.problem.contains("\"db\""), "{error}");
    for range in [[0, 5], [9, 8]] {
        let error = refused(json!({"policy": "p/p", "action": "deny", "ports": [range]}));
        assert_eq!(error.field, "access[0].ports[0]");
    }
    let error = refused(json!({"policy": "p/p", "action": "deny", "spiffe_ids": ["db"]}));
    assert!(error.problem.contains("db"), "{error}");
}
