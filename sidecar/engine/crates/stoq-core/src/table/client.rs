//! Whose address the application gets to see.

use std::net::SocketAddr;

use stoq_wire::head::StreamHead;

use super::{Table, canonical};
use crate::spiffe::SpiffeId;

/// The client's address, when the application may be dialled from it: the head's
/// source, if the registry binds it to `peer`, who has proven to be that workload.
///
/// A source that the table does not know is believed of nobody, and this workload's
/// own address is no client's; both give none, as does a source of another family
/// than the destination.
#[must_use]
pub fn client_address(table: &Table, head: &StreamHead, peer: &SpiffeId) -> Option<SocketAddr> {
    let (source, destination) = (canonical(head.source), canonical(head.destination));
    let bound = table.workload_at(source.ip())?;
    let same_family = source.is_ipv4() == destination.is_ipv4();
    let foreign = !table.is_own(source.ip());
    (bound.spiffe_id == *peer && same_family && foreign).then_some(source)
}
