//! What may reach this workload, in plaintext and over STOQ.

use std::net::SocketAddr;

use stoq_wire::code::StreamCode;
use stoq_wire::head::{StreamHead, StreamKind};

use super::{InboundMode, METRICS_PORT, Reason, Table, canonical, is_own_port};
use crate::spiffe::SpiffeId;

/// Why plaintext is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// A probe: a declared port from an exempt source, in any mode.
    Probe,
    /// A client outside the mesh, and `inbound` is `permissive` at the port.
    Permissive,
}

/// What to do with plaintext that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundPlaintext {
    /// Connect it to its original destination.
    Admit(Admission),
    /// Reset it.
    Refuse(Reason),
}

/// What to do with a stream that a peer opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundStream {
    /// Connect it to this address, one of the workload's own.
    Connect(SocketAddr),
    /// Reset it with this code.
    Refuse(StreamCode),
}

/// Decides whether a plaintext connection from `source` to `destination`, both
/// as the captured connection has them, is let in.
#[must_use]
pub fn decide_inbound_plaintext(
    table: &Table,
    source: SocketAddr,
    destination: SocketAddr,
) -> InboundPlaintext {
    let port = destination.port();
    if !table.is_own(destination.ip()) {
        return InboundPlaintext::Refuse(Reason::NotMine);
    }
    if is_own_port(port) && port != METRICS_PORT {
        return InboundPlaintext::Refuse(Reason::ForbiddenPort);
    }
    let probed = port == METRICS_PORT || table.probe_ports.contains(&port);
    let exempt = |n: &super::Network| n.contains(source.ip());
    if probed && table.exempt_sources.iter().any(exempt) {
        return InboundPlaintext::Admit(Admission::Probe);
    }
    // A workload of the mesh that speaks plaintext has lost its sidecar or does
    // not know us yet. Letting it in would hide that from both.
    if table.workload_at(source.ip()).is_some() && !table.is_own(source.ip()) {
        return InboundPlaintext::Refuse(Reason::PlaintextFromMesh);
    }
    if table.inbound(port) == InboundMode::Strict {
        return InboundPlaintext::Refuse(Reason::PlaintextStrict);
    }
    // Whoever proves no identity is nobody that a policy names. A workload that reaches
    // itself is not subject to its own policies.
    if table.is_own(source.ip()) || table.access.rule(None, port).admits() {
        InboundPlaintext::Admit(Admission::Permissive)
    } else {
        InboundPlaintext::Refuse(Reason::AccessDenied)
    }
}

/// Decides where a stream of a flow, [`StreamKind::Tcp`], [`StreamKind::Udp`] or the first
/// [`StreamKind::Lane`] of one, goes that `peer` opened
/// (`docs/wire-format.md`, S2). Streams of another kind carry no flow and are
/// refused here.
///
/// A source address that the registry binds to another identity is a lie about
/// who is calling, and refused. One that the table does not know passes: a
/// sidecar holds only what it uses.
#[must_use]
pub fn decide_inbound_stream(table: &Table, head: &StreamHead, peer: &SpiffeId) -> InboundStream {
    match head.kind {
        StreamKind::Tcp | StreamKind::Udp | StreamKind::Lane => decide_flow(table, head, peer),
        _ => InboundStream::Refuse(StreamCode::Denied),
    }
}

/// As [`decide_inbound_stream`], for a flow that a stream of any kind brings.
pub(super) fn decide_flow(table: &Table, head: &StreamHead, peer: &SpiffeId) -> InboundStream {
    let destination = canonical(head.destination);
    if !table.is_own(destination.ip()) {
        return InboundStream::Refuse(StreamCode::NotMine);
    }
    if is_own_port(destination.port()) || destination.port() == 0 {
        return InboundStream::Refuse(StreamCode::ForbiddenPort);
    }
    match table.workload_at(head.source.ip()) {
        Some(claimed) if claimed.spiffe_id != *peer => InboundStream::Refuse(StreamCode::Denied),
        _ if table.access.rule(Some(peer), destination.port()).admits() => {
            InboundStream::Connect(destination)
        }
        _ => InboundStream::Refuse(StreamCode::AccessDenied),
    }
}
