//! Access policies at the destination.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};
use stoq_core::table::Table;

use crate::mesh::{Mesh, accept, application, eventually, id, table_with};
use crate::net::{DB, in_namespace};

/// The server's table with these rules.
fn ruled(rules: Value) -> Arc<Table> {
    table_with("db-0", DB, json!({ "access": rules }))
}

fn deny_web() -> Value {
    json!([{"policy": "shop/no-web", "action": "deny", "spiffe_ids": [id("web").as_str()]}])
}

/// What the server has counted for a policy.
fn counted(mesh: &Mesh, policy: &str, action: &str, dry_run: bool) -> u64 {
    let samples = mesh.db.snapshot().access;
    let found = samples
        .iter()
        .find(|s| s.policy == policy && s.action == action && s.dry_run == dry_run);
    found.map_or(0, |sample| sample.flows)
}

fn open(mesh: &Mesh, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = mesh.dial();
    let mut server = accept(listener);
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    (client, server)
}

#[test]
fn a_peer_that_a_policy_denies_is_reset_and_counted() {
    in_namespace(|| {
        let mesh = Mesh::start();
        mesh.db.set_table(ruled(deny_web()));
        let _listener = application();
        let mut client = mesh.dial();
        assert!(client.read(&mut [0]).is_err());
        eventually("the refusal is counted", || {
            counted(&mesh, "shop/no-web", "deny", false) == 1
        });
        assert_eq!(mesh.db.snapshot().streams_refused["access_denied"], 1);
        let flows = mesh.db.snapshot().flows;
        assert!(
            flows.iter().any(|flow| flow.failed == [("DENY", 1)]),
            "{flows:?}"
        );
    });
}

#[test]
fn whom_an_allow_rule_names_is_let_in_and_counted() {
    in_namespace(|| {
        let mesh = Mesh::start();
        mesh.db.set_table(ruled(json!([
            {"policy": "shop/web", "action": "allow", "namespaces": ["shop"], "ports": [[7000, 7000]]},
        ])));
        let listener = application();
        let _open = open(&mesh, &listener);
        assert_eq!(counted(&mesh, "shop/web", "allow", false), 1);
    });
}

#[test]
fn a_changed_policy_ends_open_flows() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let (mut client, mut server) = open(&mesh, &listener);
        // Another policy that names nobody here changes nothing.
        let other = json!([{"policy": "shop/other", "action": "deny", "namespaces": ["batch"]}]);
        mesh.db.set_table(ruled(other));
        client.write_all(b"y").unwrap();
        server.read_exact(&mut [0]).unwrap();

        mesh.db.set_table(ruled(deny_web()));
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert!(server.read(&mut [0]).is_err());
        assert_eq!(counted(&mesh, "shop/no-web", "deny", false), 1);

        // The connection between the sidecars lives, and serves again when it may.
        mesh.db.set_table(ruled(json!([])));
        let _again = open(&mesh, &listener);
        assert_eq!(mesh.db.connections().len(), 1);
    });
}

#[test]
fn a_dry_run_only_counts() {
    in_namespace(|| {
        let mesh = Mesh::start();
        let listener = application();
        let before = open(&mesh, &listener);
        let mut rules = deny_web();
        rules[0]["dry_run"] = json!(true);
        mesh.db.set_table(ruled(rules));
        let _after = open(&mesh, &listener);
        assert_eq!(counted(&mesh, "shop/no-web", "deny", true), 1);
        let (mut client, mut server) = before;
        client.write_all(b"y").unwrap();
        server.read_exact(&mut [0]).unwrap();
    });
}
