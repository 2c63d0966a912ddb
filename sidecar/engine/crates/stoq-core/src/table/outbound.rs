//! Where a connection that the application opens goes.

use std::net::SocketAddr;

use super::{Endpoint, OutboundMode, Reason, Service, Table, Workload, canonical, is_own_port};
use crate::spiffe::SpiffeId;

/// What to do with an outbound connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound<'t> {
    /// Open a stream on the STOQ connection to a workload. If that fails the
    /// flow fails; it never falls back to plaintext.
    Mesh {
        /// The workload.
        peer: &'t Workload,
        /// Where its STOQ listener is.
        stoq: SocketAddr,
        /// The identity it must prove.
        expect: SpiffeId,
        /// What the stream head names as destination: an address of the peer.
        destination: SocketAddr,
        /// The service that was dialled, if it was one.
        service: Option<&'t Service>,
    },
    /// Connect as the application would have without the mesh.
    Passthrough {
        /// Where to.
        destination: SocketAddr,
        /// The service that was dialled, if it was one.
        service: Option<&'t Service>,
    },
    /// The workload dialled itself: connect within the pod.
    Own {
        /// Where to: one of the workload's own addresses.
        destination: SocketAddr,
    },
    /// Reset the application's connection.
    Refuse(Reason),
}

/// Decides where a connection to `destination` goes.
///
/// `pick` chooses among a service's endpoints by weight; the caller draws it at
/// random, so that the decision itself is repeatable.
#[must_use]
pub fn decide_outbound(table: &Table, destination: SocketAddr, pick: u64) -> Outbound<'_> {
    let destination = canonical(destination);
    let Some(service) = table.service_at(destination.ip()) else {
        return route(table, destination, None);
    };
    let mut ports = service.ports.iter();
    let Some(position) = ports.position(|p| p.port == destination.port()) else {
        return Outbound::Refuse(Reason::NoSuchPort);
    };
    match choose(table, service, pick) {
        Ok(endpoint) => {
            let own = endpoint.targets.get(position).copied();
            let target = own.unwrap_or(service.ports[position].target);
            let address = SocketAddr::new(endpoint.address, target);
            route(table, address, Some(service))
        }
        Err(reason) => Outbound::Refuse(reason),
    }
}

/// Decides for an address that is not virtual.
fn route<'t>(
    table: &'t Table,
    destination: SocketAddr,
    service: Option<&'t Service>,
) -> Outbound<'t> {
    let own = table.is_own(destination.ip()) || destination.ip().is_loopback();
    let peer = table.workload_at(destination.ip());
    if (own || peer.is_some()) && is_own_port(destination.port()) {
        return Outbound::Refuse(Reason::ForbiddenPort);
    }
    if own {
        return Outbound::Own { destination };
    }
    match (peer, table.outbound) {
        (Some(peer), _) => match table.stoq_address(peer) {
            Some(stoq) => Outbound::Mesh {
                peer,
                stoq,
                expect: peer.spiffe_id.clone(),
                destination,
                service,
            },
            None => Outbound::Refuse(Reason::NoEndpoint),
        },
        (None, OutboundMode::Allow) => Outbound::Passthrough {
            destination,
            service,
        },
        (None, OutboundMode::MeshOnly) => Outbound::Refuse(Reason::NotInMesh),
    }
}

/// Chooses an endpoint of `service` by weight, among those that may serve it.
fn choose<'t>(table: &Table, service: &'t Service, pick: u64) -> Result<&'t Endpoint, Reason> {
    let open = |endpoint: &&Endpoint| endpoint.weight > 0;
    let allowed = |endpoint: &&Endpoint| may_serve(table, service, endpoint);
    let endpoints = || service.endpoints.iter().filter(open).filter(allowed);
    let total: u64 = endpoints().map(|e| u64::from(e.weight)).sum();
    if total == 0 {
        return Err(why_none(service, table));
    }
    let mut left = pick % total;
    for endpoint in endpoints() {
        match left.checked_sub(endpoint.weight.into()) {
            Some(rest) => left = rest,
            None => return Ok(endpoint),
        }
    }
    Err(Reason::NoEndpoint)
}

/// Whether an endpoint may serve: one of the service's identities where it
/// names any, and in the mesh where only the mesh may be reached.
fn may_serve(table: &Table, service: &Service, endpoint: &Endpoint) -> bool {
    match table.workload_at(endpoint.address) {
        Some(peer) => service.spiffe_ids.is_empty() || service.spiffe_ids.contains(&peer.spiffe_id),
        None => {
            service.spiffe_ids.is_empty()
                && (table.outbound == OutboundMode::Allow || table.is_own(endpoint.address))
        }
    }
}

fn why_none(service: &Service, table: &Table) -> Reason {
    if service
        .endpoints
        .iter()
        .all(|endpoint| endpoint.weight == 0)
    {
        Reason::NoEndpoint
    } else if service.spiffe_ids.is_empty() && table.outbound == OutboundMode::MeshOnly {
        Reason::NotInMesh
    } else {
        Reason::NoAuthorisedEndpoint
    }
}
