use super::*;
use crate::spiffe::SpiffeId;
use serde_json::json;
use stoq_wire::code::StreamCode;
use stoq_wire::head::{FlowId, StreamHead, StreamKind};

fn plaintext(table: &Table, source: &str, destination: &str) -> InboundPlaintext {
    decide_inbound_plaintext(table, at(source), at(destination))
}

fn strict() -> Table {
    table_with(|t| t["inbound"] = json!("strict"))
}

#[test]
fn a_client_outside_the_mesh_is_let_in_under_permissive_only() {
    assert_eq!(
        plaintext(&table(), "[fd00::99]:4000", "[fd00::2]:80"),
        InboundPlaintext::Admit(Admission::Permissive)
    );
    assert_eq!(
        plaintext(&strict(), "[fd00::99]:4000", "[fd00::2]:80"),
        InboundPlaintext::Refuse(Reason::PlaintextStrict)
    );
}

#[test]
fn a_port_may_be_open_in_a_strict_workload_and_strict_in_an_open_one() {
    let open = table_with(|t| {
        t["inbound"] = json!("strict");
        t["ports"] = json!([{"port": 9090, "inbound": "permissive"}]);
    });
    let closed = table_with(|t| t["ports"] = json!([{"port": 9090, "inbound": "strict"}]));
    let admitted = InboundPlaintext::Admit(Admission::Permissive);
    let refused = InboundPlaintext::Refuse(Reason::PlaintextStrict);
    for (table, port, expected) in [
        (&open, 9090, admitted),
        (&open, 80, refused),
        (&closed, 9090, refused),
        (&closed, 80, admitted),
    ] {
        let to = format!("[fd00::2]:{port}");
        assert_eq!(plaintext(table, "[fd00::99]:4000", &to), expected, "{to}");
    }
    assert_eq!(
        plaintext(&open, "[fd00::3]:4000", "[fd00::2]:9090"),
        InboundPlaintext::Refuse(Reason::PlaintextFromMesh)
    );
}

#[test]
fn a_workload_of_the_mesh_must_speak_stoq_in_any_mode() {
    for table in [table(), strict()] {
        assert_eq!(
            plaintext(&table, "[fd00::3]:4000", "[fd00::2]:80"),
            InboundPlaintext::Refuse(Reason::PlaintextFromMesh)
        );
    }
}

#[test]
fn a_probe_is_let_in_under_strict() {
    for (source, port) in [("[fd00::1]:4000", 8080), ("[fd00::1]:4000", METRICS_PORT)] {
        assert_eq!(
            plaintext(&strict(), source, &format!("[fd00::2]:{port}")),
            InboundPlaintext::Admit(Admission::Probe)
        );
    }
    assert_eq!(
        plaintext(
            &strict(),
            "[::ffff:10.0.0.1]:4000",
            "[::ffff:10.0.0.2]:8080"
        ),
        InboundPlaintext::Admit(Admission::Probe)
    );
}

#[test]
fn an_exempt_source_reaches_probe_ports_only() {
    assert_eq!(
        plaintext(&strict(), "[fd00::1]:4000", "[fd00::2]:80"),
        InboundPlaintext::Refuse(Reason::PlaintextStrict)
    );
}

#[test]
fn a_probe_port_is_open_to_exempt_sources_only() {
    assert_eq!(
        plaintext(&strict(), "[fd00::99]:4000", "[fd00::2]:8080"),
        InboundPlaintext::Refuse(Reason::PlaintextStrict)
    );
}

#[test]
fn plaintext_for_another_address_is_refused() {
    assert_eq!(
        plaintext(&table(), "[fd00::99]:4000", "[fd00::7]:80"),
        InboundPlaintext::Refuse(Reason::NotMine)
    );
}

#[test]
fn plaintext_never_reaches_the_mesh_s_own_ports_but_metrics() {
    for port in OWN_PORTS {
        let decided = plaintext(&table(), "[fd00::1]:4000", &format!("[fd00::2]:{port}"));
        if port == METRICS_PORT {
            assert_eq!(decided, InboundPlaintext::Admit(Admission::Probe));
        } else {
            assert_eq!(decided, InboundPlaintext::Refuse(Reason::ForbiddenPort));
        }
    }
}

pub(super) fn head(source: &str, destination: &str) -> StreamHead {
    StreamHead {
        kind: StreamKind::Tcp,
        resume: false,
        tokens: false,
        flow: FlowId([0; 16]),
        sent: 0,
        received: 0,
        source: at(source),
        destination: at(destination),
    }
}

fn stream(head: &StreamHead, peer: &str) -> InboundStream {
    decide_inbound_stream(&table(), head, &SpiffeId::parse(peer).unwrap())
}

#[test]
fn a_stream_is_connected_to_the_address_it_names() {
    assert_eq!(
        stream(&head("[fd00::3]:4000", "[fd00::2]:80"), DB),
        InboundStream::Connect(at("[fd00::2]:80"))
    );
    assert_eq!(
        stream(&head("[fd00::3]:4000", "[::ffff:10.0.0.2]:80"), DB),
        InboundStream::Connect(at("10.0.0.2:80"))
    );
}

#[test]
fn a_stream_never_reaches_loopback_or_another_host() {
    for destination in [
        "[::1]:80",
        "127.0.0.1:80",
        "[fd00::3]:80",
        "192.0.2.1:80",
        "[::]:80",
    ] {
        assert_eq!(
            stream(&head("[fd00::3]:4000", destination), DB),
            InboundStream::Refuse(StreamCode::NotMine),
            "{destination}"
        );
    }
}

#[test]
fn a_stream_never_reaches_the_mesh_s_own_ports() {
    for port in OWN_PORTS.into_iter().chain([0]) {
        assert_eq!(
            stream(&head("[fd00::3]:4000", &format!("[fd00::2]:{port}")), DB),
            InboundStream::Refuse(StreamCode::ForbiddenPort),
            "{port}"
        );
    }
}

#[test]
fn a_peer_that_claims_another_workload_s_address_is_denied() {
    assert_eq!(
        stream(&head("[fd00::3]:4000", "[fd00::2]:80"), WEB),
        InboundStream::Refuse(StreamCode::Denied)
    );
}

#[test]
fn a_source_that_the_table_does_not_know_passes() {
    assert_eq!(
        stream(&head("[fd00::77]:4000", "[fd00::2]:80"), DB),
        InboundStream::Connect(at("[fd00::2]:80"))
    );
}

#[test]
fn a_stream_of_another_kind_is_no_flow() {
    let api = StreamHead {
        kind: StreamKind::Api,
        ..head("[fd00::3]:4000", "[fd00::2]:80")
    };
    assert_eq!(stream(&api, DB), InboundStream::Refuse(StreamCode::Denied));
}

#[test]
fn the_first_lane_of_a_flow_goes_where_the_flow_goes() {
    let lane = |source| StreamHead {
        kind: StreamKind::Lane,
        ..head(source, "[fd00::2]:80")
    };
    assert_eq!(
        stream(&lane("[fd00::3]:4000"), DB),
        stream(&head("[fd00::3]:4000", "[fd00::2]:80"), DB)
    );
    let known = stream(&lane("[fd00::77]:4000"), DB);
    assert_eq!(known, InboundStream::Connect(at("[fd00::2]:80")));
}
