//! Where a connection that the application opens goes.

use std::net::{IpAddr, SocketAddr};

use super::balance::{self, Candidate, Standing};
use super::{OutboundMode, Reason, Service, Table, Transport, Workload, canonical, is_own_port};
use crate::spiffe::SpiffeId;

/// What the choice among a service's endpoints depends on besides the table.
#[derive(Clone, Copy)]
pub struct Draw<'d> {
    /// A random number, so that the decision itself is repeatable.
    pub pick: u64,
    /// How an endpoint stands, by its address and port.
    pub standing: &'d dyn Fn(SocketAddr) -> Standing,
    /// Endpoints at which this connection has failed: none of them is chosen.
    pub tried: &'d [SocketAddr],
    /// Whether it has been on its way over the mesh: then it stays there.
    pub meshed: bool,
    /// The protocol: ports of services are of one or the other.
    pub transport: Transport,
}

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
/// Among the endpoints of a service it chooses as [`Draw`] says; an address that is not
/// virtual has no other to go to.
#[must_use]
pub fn decide_outbound<'t>(
    table: &'t Table,
    destination: SocketAddr,
    draw: &Draw<'_>,
) -> Outbound<'t> {
    let destination = canonical(destination);
    let Some(service) = table.service_at(destination.ip()) else {
        return route(table, destination, None);
    };
    let mut ports = service.ports.iter();
    let Some(position) =
        ports.position(|p| p.port == destination.port() && p.transport == draw.transport)
    else {
        return Outbound::Refuse(Reason::NoSuchPort);
    };
    match choose(table, service, position, draw) {
        Some(endpoint) => route(table, endpoint, Some(service)),
        None => Outbound::Refuse(why_none(service, position, table)),
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
    match (peer, table.outbound(destination.port())) {
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

/// Chooses an endpoint of `service` for its port at `position`, among those that may serve it.
fn choose(
    table: &Table,
    service: &Service,
    position: usize,
    draw: &Draw<'_>,
) -> Option<SocketAddr> {
    let plain = |ip: &IpAddr| draw.meshed && table.workload_at(*ip).is_none() && !table.is_own(*ip);
    let candidates = service
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.weight > 0)
        .filter_map(|endpoint| Some((service.reached(endpoint, position)?, endpoint.weight)))
        .filter(|(address, _)| may_serve(table, service, *address))
        .filter(|(address, _)| !draw.tried.contains(address) && !plain(&address.ip()))
        .map(|(address, weight)| Candidate {
            address,
            weight,
            standing: (draw.standing)(address),
        });
    balance::choose(candidates.collect(), draw.pick)
}

/// Whether an endpoint may serve: one of the service's identities where it
/// names any, and in the mesh where only the mesh may be reached.
fn may_serve(table: &Table, service: &Service, endpoint: SocketAddr) -> bool {
    match table.workload_at(endpoint.ip()) {
        Some(peer) => service.spiffe_ids.is_empty() || service.spiffe_ids.contains(&peer.spiffe_id),
        None => {
            service.spiffe_ids.is_empty()
                && (table.outbound(endpoint.port()) == OutboundMode::Allow
                    || table.is_own(endpoint.ip()))
        }
    }
}

fn why_none(service: &Service, position: usize, table: &Table) -> Reason {
    let endpoints = service.endpoints.iter();
    let mut reached = endpoints
        .filter(|endpoint| endpoint.weight > 0)
        .filter_map(|endpoint| service.reached(endpoint, position))
        .peekable();
    let closed = |address: SocketAddr| table.outbound(address.port()) == OutboundMode::MeshOnly;
    if reached.peek().is_none() {
        Reason::NoEndpoint
    } else if service.spiffe_ids.is_empty() && reached.any(closed) {
        Reason::NotInMesh
    } else {
        Reason::NoAuthorisedEndpoint
    }
}
