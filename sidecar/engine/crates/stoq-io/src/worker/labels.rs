//! What a flow says of itself: to its peer in the stream head, and in labels.

use std::sync::Arc;

use bytes::Bytes;
use stoq_core::session::Evidence;
use stoq_core::table::{Service, Workload};
use stoq_wire::head::{StreamHead, StreamKind};
use stoq_wire::stripe::Lane;

use super::observe::suite;
use super::{FlowInfo, Slot};
use crate::counters::Party;

/// The first bytes of a stream that carries `info`'s flow, with tokens or without.
pub(super) fn encode(kind: StreamKind, info: &FlowInfo, tokens: bool) -> Bytes {
    let mut head = Vec::with_capacity(stoq_wire::head::MAX_HEAD_LEN);
    StreamHead {
        kind,
        resume: false,
        tokens,
        flow: info.flow,
        sent: 0,
        received: 0,
        source: info.source,
        destination: info.destination,
    }
    .encode(&mut head);
    head.into()
}

/// The same for a lane of a striped flow (L2).
pub(super) fn encode_lane(info: &FlowInfo, lane: Lane) -> Bytes {
    let mut head = Vec::with_capacity(stoq_wire::head::MAX_HEAD_LEN);
    StreamHead {
        kind: StreamKind::Lane,
        resume: false,
        tokens: false,
        flow: info.flow,
        sent: lane.number.into(),
        received: lane.lanes.into(),
        source: info.source,
        destination: info.destination,
    }
    .encode(&mut head);
    head.into()
}

/// A workload as a label; its identity is not proven yet.
pub(super) fn party(workload: &Workload) -> Party {
    Party {
        workload: Some(workload.name.as_str().into()),
        namespace: Some(workload.namespace.as_str().into()),
        principal: None,
    }
}

/// The name and the namespace of a service.
pub(super) fn named(service: &Service) -> (Arc<str>, Arc<str>) {
    (
        service.name.as_str().into(),
        service.namespace.as_str().into(),
    )
}

/// Notes in a flow what its connection has proven.
pub(super) fn note_proven(slot: &mut Slot, evidence: Option<&Evidence>) {
    if let (Some(info), Some(evidence)) = (&mut slot.info, evidence) {
        info.suite = Some(suite(evidence));
        let peer = evidence.peer.as_ref();
        info.peer.principal = peer.map(|peer| peer.spiffe.as_str().into());
    }
}
