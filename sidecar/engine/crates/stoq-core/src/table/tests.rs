mod access;
mod balance;
mod client;
mod document;
mod inbound;
mod mirror;
mod outbound;
mod properties;
mod ways;

use std::net::SocketAddr;

use super::*;

/// A table with everything in it once; `edit` changes the JSON before it is read.
fn table_with(edit: impl FnOnce(&mut serde_json::Value)) -> Table {
    let mut value = serde_json::from_str(EXAMPLE).unwrap();
    edit(&mut value);
    Table::from_json(&value.to_string()).unwrap()
}

fn table() -> Table {
    table_with(|_| {})
}

/// Decides for a first attempt, when no endpoint has been used yet.
fn decide(table: &Table, destination: SocketAddr, pick: u64) -> Outbound<'_> {
    decide_for(Transport::Tcp, table, destination, pick)
}

fn decide_for(
    transport: Transport,
    table: &Table,
    destination: SocketAddr,
    pick: u64,
) -> Outbound<'_> {
    let draw = Draw {
        transport,
        pick,
        standing: &|_| Standing::default(),
        tried: &[],
        meshed: false,
    };
    decide_outbound(table, destination, &draw)
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const WEB: &str = "spiffe://td/ns/shop/sa/web";
const DB: &str = "spiffe://td/ns/shop/sa/db";

const EXAMPLE: &str = r#"{
  "version": 7,
  "own": {"name": "web-0", "namespace": "shop", "addresses": ["fd00::2", "10.0.0.2"]},
  "inbound": "permissive",
  "outbound": "allow",
  "workloads": [
    {"uid": "w0", "name": "web-0", "namespace": "shop",
     "spiffe_id": "spiffe://td/ns/shop/sa/web", "addresses": ["fd00::2", "10.0.0.2"]},
    {"uid": "d0", "name": "db-0", "namespace": "shop",
     "spiffe_id": "spiffe://td/ns/shop/sa/db", "addresses": ["10.0.0.3", "fd00::3"]},
    {"uid": "d1", "name": "db-1", "namespace": "shop",
     "spiffe_id": "spiffe://td/ns/shop/sa/db", "addresses": ["fd00::4"], "port": 24008}
  ],
  "services": [
    {"name": "db", "namespace": "shop", "vips": ["fd53::10"],
     "ports": [{"port": 5432, "target": 15432}, {"port": 80}],
     "endpoints": [{"address": "fd00::3", "weight": 1}, {"address": "fd00::4", "weight": 3}],
     "spiffe_ids": ["spiffe://td/ns/shop/sa/db"]},
    {"name": "outside", "namespace": "shop", "vips": ["fd53::11"],
     "ports": [{"port": 443}], "endpoints": [{"address": "2001:db8::1"}]}
  ],
  "exempt_sources": ["fd00::1/128", "10.0.0.1"],
  "probe_ports": [8080]
}"#;
