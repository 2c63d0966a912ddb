//! Copies of connections to a service for a shadow service (`docs/wire-format.md`, section 15).

use std::net::{IpAddr, SocketAddr};

use stoq_frames::seed::is_copied;
use stoq_wire::code::StreamCode;
use stoq_wire::head::StreamHead;

use super::inbound::decide_flow;
use super::outbound::{Draw, Outbound, decide_outbound};
use super::{InboundStream, Table, Workload, canonical};
use crate::spiffe::SpiffeId;

/// A service whose connections are copied says so by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirror {
    /// A virtual address of the service that gets the copies.
    pub to: IpAddr,
    /// How many of ten thousand connections are copied, at least 1.
    pub share: u16,
}

/// Where a copy goes. Always over the mesh: a copy is never sent in plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow<'t> {
    /// The workload.
    pub peer: &'t Workload,
    /// Where its STOQ listener is.
    pub stoq: SocketAddr,
    /// The identity it must prove.
    pub expect: SpiffeId,
    /// What the stream head names as destination: an address of the peer.
    pub destination: SocketAddr,
    /// The share that the mirror has.
    pub share: u16,
}

/// Decides who gets copies of the flow with this id, whose client dialled `dialled`: one shadow for
/// each mirror whose share it is in, chosen among the endpoints of the shadow service as [`Draw`]
/// says. None for a mirror that has no such port, or no endpoint in the mesh that may serve it.
#[must_use]
pub fn decide_mirrors<'t>(
    table: &'t Table,
    dialled: SocketAddr,
    flow: &[u8; 16],
    draw: &Draw<'_>,
) -> Vec<Option<Shadow<'t>>> {
    let dialled = canonical(dialled);
    let Some(service) = table.service_at(dialled.ip()) else {
        return Vec::new();
    };
    let copied = service
        .mirrors
        .iter()
        .filter(|mirror| is_copied(flow, mirror.share));
    let shadow = |mirror: &Mirror| {
        let to = SocketAddr::new(mirror.to, dialled.port());
        match decide_outbound(table, to, draw) {
            Outbound::Mesh {
                peer,
                stoq,
                expect,
                destination,
                ..
            } => Some(Shadow {
                peer,
                stoq,
                expect,
                destination,
                share: mirror.share,
            }),
            _ => None,
        }
    };
    copied.map(shadow).collect()
}

/// Decides where a copy of a flow that `peer` sends goes. Whom this workload expects no copies from
/// is refused (M5); the others are held against the same rules as a flow.
#[must_use]
pub fn decide_inbound_mirror(table: &Table, head: &StreamHead, peer: &SpiffeId) -> InboundStream {
    if table.expects_mirrors_from(peer) {
        decide_flow(table, head, peer)
    } else {
        InboundStream::Refuse(StreamCode::Denied)
    }
}

impl Table {
    /// Whether this workload is a shadow that takes copies from `peer` (M5).
    #[must_use]
    pub fn expects_mirrors_from(&self, peer: &SpiffeId) -> bool {
        let named = |ids: &Vec<SpiffeId>| ids.is_empty() || ids.contains(peer);
        self.mirrors_from.as_ref().is_some_and(named)
    }
}
