//! What holds for every table and every flow.

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::json;
use stoq_wire::head::{FlowId, StreamHead, StreamKind};

use super::*;
use crate::spiffe::SpiffeId;

/// Few hosts, so that destinations, peers, endpoints and sources often meet.
fn host() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (1u8..12).prop_map(|n| format!("fd00::{n:x}").parse().unwrap()),
        (1u8..12).prop_map(|n| format!("10.0.0.{n}").parse().unwrap()),
        (1u8..4).prop_map(|n| format!("fd53::{n}").parse().unwrap()),
        Just("::1".parse().unwrap()),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        any::<u16>(),
        Just(80),
        (0usize..OWN_PORTS.len()).prop_map(|i| OWN_PORTS[i])
    ]
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (host(), port(), any::<bool>()).prop_map(|(host, port, mapped)| match host {
        IpAddr::V4(v4) if mapped => SocketAddr::new(v4.to_ipv6_mapped().into(), port),
        host => SocketAddr::new(host, port),
    })
}

prop_compose! {
    fn any_table()(
        inbound in prop_oneof![Just("strict"), Just("permissive")],
        outbound in prop_oneof![Just("allow"), Just("meshOnly")],
        peers in proptest::collection::btree_set(2u8..12, 0..6),
        endpoints in proptest::collection::vec((2u8..12, 0u32..4), 0..5),
        restricted: bool,
        apart in proptest::option::of((
            prop_oneof![Just(443u16), Just(8080)],
            prop_oneof![Just("strict"), Just("permissive")],
            prop_oneof![Just("allow"), Just("meshOnly")],
        )),
    ) -> Table {
        let ports: Vec<_> = apart.iter().map(|(port, inbound, outbound)| {
            json!({"port": port, "inbound": inbound, "outbound": outbound})
        }).collect();
        let workloads: Vec<_> = peers.iter().map(|n| json!({
            "uid": format!("{n}"), "name": format!("pod-{n}"), "namespace": "n",
            "spiffe_id": format!("spiffe://td/ns/n/sa/{}", n % 3),
            "addresses": [format!("fd00::{n:x}"), format!("10.0.0.{n}")],
        })).collect();
        let endpoints: Vec<_> = endpoints.iter().map(|(n, weight)| json!({
            "address": format!("fd00::{n:x}"), "weight": weight,
        })).collect();
        let ids = if restricted { json!(["spiffe://td/ns/n/sa/1"]) } else { json!([]) };
        let table = json!({
            "version": 1, "inbound": inbound, "outbound": outbound, "ports": ports,
            "own": {"name": "pod-2", "namespace": "n", "addresses": ["fd00::2", "10.0.0.2"]},
            "workloads": workloads,
            "services": [{
                "name": "s", "namespace": "n", "vips": ["fd53::1"],
                "ports": [{"port": 80, "target": 8080}],
                "endpoints": endpoints, "spiffe_ids": ids,
            }],
            "exempt_sources": ["fd00::1"], "probe_ports": [8080],
        });
        Table::from_json(&table.to_string()).unwrap()
    }
}

proptest! {
    #[test]
    fn plaintext_never_leaves_for_a_workload_of_the_mesh(
        table in any_table(), destination in socket(), pick: u64,
    ) {
        match decide(&table, destination, pick) {
            Outbound::Passthrough { destination, .. } => {
                prop_assert!(table.workload_at(destination.ip()).is_none());
                prop_assert_eq!(table.outbound(destination.port()), OutboundMode::Allow);
            }
            Outbound::Own { destination } => {
                prop_assert!(table.is_own(destination.ip()) || destination.ip().is_loopback());
            }
            Outbound::Mesh { .. } | Outbound::Refuse(_) => {}
        }
    }

    #[test]
    fn a_peer_is_expected_to_be_who_the_registry_binds_to_the_destination(
        table in any_table(), destination in socket(), pick: u64,
    ) {
        if let Outbound::Mesh { peer, stoq, expect, destination, service } =
            decide(&table, destination, pick)
        {
            prop_assert_eq!(&expect, &peer.spiffe_id);
            prop_assert!(peer.addresses.contains(&destination.ip()));
            prop_assert!(peer.addresses.contains(&stoq.ip()));
            prop_assert!(!is_own_port(destination.port()));
            prop_assert!(!table.is_own(destination.ip()));
            if let Some(service) = service {
                prop_assert!(service.spiffe_ids.is_empty() || service.spiffe_ids.contains(&expect));
            }
        }
    }

    #[test]
    fn a_virtual_address_is_never_dialled_itself(table in any_table(), pick: u64) {
        match decide(&table, at("[fd53::1]:80"), pick) {
            Outbound::Mesh { destination, .. }
            | Outbound::Passthrough { destination, .. }
            | Outbound::Own { destination } => {
                let endpoints = &table.services()[0].endpoints;
                prop_assert!(endpoints.iter().any(|e| e.address == destination.ip() && e.weight > 0));
                prop_assert_eq!(destination.port(), 8080);
            }
            Outbound::Refuse(_) => {}
        }
    }

    #[test]
    fn plaintext_enters_only_where_it_may(
        table in any_table(), source in socket(), destination in socket(),
    ) {
        if let InboundPlaintext::Admit(admission) =
            decide_inbound_plaintext(&table, source, destination)
        {
            prop_assert!(table.is_own(destination.ip()));
            prop_assert!(!is_own_port(destination.port()) || destination.port() == METRICS_PORT);
            match admission {
                Admission::Permissive => {
                    prop_assert_eq!(table.inbound(destination.port()), InboundMode::Permissive);
                    prop_assert!(table.workload_at(source.ip()).is_none() || table.is_own(source.ip()));
                }
                Admission::Probe => {
                    prop_assert_eq!(source.ip().to_string(), "fd00::1");
                    prop_assert!([8080, METRICS_PORT].contains(&destination.port()));
                }
            }
        }
    }

    #[test]
    fn a_stream_reaches_only_this_workload_s_own_addresses_and_free_ports(
        table in any_table(), source in socket(), destination in socket(), account in 0u8..3,
    ) {
        let head = StreamHead {
            kind: StreamKind::Tcp, resume: false, tokens: false, flow: FlowId([0; 16]),
            sent: 0, received: 0, source, destination,
        };
        let peer = SpiffeId::parse(&format!("spiffe://td/ns/n/sa/{account}")).unwrap();
        if let InboundStream::Connect(to) = decide_inbound_stream(&table, &head, &peer) {
            prop_assert!(table.is_own(to.ip()));
            prop_assert!(!is_own_port(to.port()));
            let claimed = table.workload_at(source.ip());
            prop_assert!(claimed.is_none_or(|workload| workload.spiffe_id == peer));
        }
    }

    #[test]
    fn any_text_is_a_table_or_an_error(text: String) {
        prop_assert!(Table::from_json(&text).is_err());
    }
}
