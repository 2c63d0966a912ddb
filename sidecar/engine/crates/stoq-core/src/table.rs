//! The routing table: who is in the mesh, at which address, and what this
//! workload may exchange with whom.
//!
//! The sidecar's discovery client hands the engine a new table whenever the
//! registry changes; workers read it once per new connection. Everything here
//! is a pure decision. What cannot be decided is refused, and a workload of the
//! mesh is never reached in plaintext, in any mode.

mod access;
mod balance;
mod client;
mod document;
mod inbound;
mod index;
mod mirror;
mod network;
mod outbound;
mod ports;
mod reason;
mod ways;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stoq_frames::hop::Rule;

use crate::spiffe::SpiffeId;
use ports::PortModes;

pub use access::{Access, AccessEffect, AccessTally, Ruling};
pub use balance::{Failure, Health, Standing};
pub use client::client_address;
pub use inbound::{
    Admission, InboundPlaintext, InboundStream, decide_inbound_plaintext, decide_inbound_stream,
};
pub use mirror::{Mirror, Shadow, decide_inbound_mirror, decide_mirrors};
pub use network::Network;
pub use outbound::{Draw, Outbound, decide_outbound};
pub use reason::Reason;
pub use ways::{GatewayAt, Reach, WayDraw};

/// Port of the sidecar's metrics and readiness: the only one of the mesh's own
/// that plaintext may reach.
pub const METRICS_PORT: u16 = 14020;

/// Ports of the mesh itself. No flow is forwarded to them: a stream that named
/// one could reach the sidecar's admin interface or capture itself in a loop.
pub const OWN_PORTS: [u16; 7] = [14000, 14001, 14006, 14008, 14012, METRICS_PORT, 14053];

/// Whether `port` is one of [`OWN_PORTS`].
#[must_use]
pub fn is_own_port(port: u16) -> bool {
    OWN_PORTS.contains(&port)
}

/// What plaintext may reach this workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InboundMode {
    /// Clients outside the mesh may speak plaintext to it; they are counted.
    Permissive,
    /// Only STOQ, and probes from exempt sources.
    Strict,
}

/// What this workload may reach outside the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OutboundMode {
    /// Destinations outside the mesh are reached as they would be without it.
    Allow,
    /// Destinations outside the mesh are refused.
    MeshOnly,
}

/// A workload of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The registry's key, such as a pod uid.
    pub uid: String,
    /// Name, such as a pod's.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// The identity that the registry binds to its addresses.
    pub spiffe_id: SpiffeId,
    /// Its addresses, in canonical form; at least one.
    pub addresses: Vec<IpAddr>,
    /// UDP port of its STOQ listener.
    pub port: u16,
    /// Ways over gateways, one of which is used; empty: it is dialled directly.
    pub via: Vec<Vec<SpiffeId>>,
    /// STOQ connections that a TCP flow to it may have, 2 to 8; 0: one.
    pub lanes: u8,
}

/// What an application speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// One port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServicePort {
    /// The port that clients dial.
    pub port: u16,
    /// The port that endpoints listen on.
    pub target: u16,
    /// What is spoken there.
    pub transport: Transport,
}

/// One endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address, in or outside the mesh.
    pub address: IpAddr,
    /// Share of new connections, relative to the other endpoints; 0 drains it.
    pub weight: u32,
    /// Its own port for each port of the service, in their order; empty where they
    /// are the service's [`ServicePort::target`]. 0 where it has none.
    pub targets: Vec<u16>,
}

/// A service: its virtual addresses, its ports and the endpoints behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// The virtual addresses that clients dial; at least one.
    pub vips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The identities that may serve it; empty when any may.
    pub spiffe_ids: Vec<SpiffeId>,
    /// Services that get copies of what clients say to this one.
    pub mirrors: Vec<Mirror>,
}

impl Service {
    /// Where `endpoint` of this service serves its port at `position`, if it does.
    fn reached(&self, endpoint: &Endpoint, position: usize) -> Option<SocketAddr> {
        let own = endpoint.targets.get(position).copied();
        let port = own.unwrap_or(self.ports[position].target);
        (port != 0).then(|| SocketAddr::new(endpoint.address, port))
    }

    /// Whether `address` is where one of its endpoints serves one of its ports.
    #[must_use]
    pub fn leads_to(&self, address: SocketAddr) -> bool {
        let at = |endpoint: &&Endpoint| endpoint.address == address.ip();
        self.endpoints.iter().filter(at).any(|endpoint| {
            let mut ports = 0..self.ports.len();
            ports.any(|position| self.reached(endpoint, position) == Some(address))
        })
    }
}

/// The workload that the table belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// Name, such as a pod's.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Its addresses, in canonical form.
    pub addresses: Vec<IpAddr>,
}

/// Why a table document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("routing table, field {field}: {problem}")]
pub struct TableError {
    /// Path of the field, such as `workloads[2].spiffe_id`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The routing table of one workload.
#[derive(Debug, Clone)]
pub struct Table {
    version: u64,
    own: Own,
    inbound: InboundMode,
    outbound: OutboundMode,
    ports: PortModes,
    workloads: Vec<Workload>,
    services: Vec<Service>,
    exempt_sources: Vec<Network>,
    probe_ports: Vec<u16>,
    access: Arc<Access>,
    /// Whose copies this workload takes, empty for everyone's; none: it takes no copies.
    mirrors_from: Option<Vec<SpiffeId>>,
    ipv6_only: bool,
    gateways: Vec<GatewayAt>,
    forwards: Vec<Rule>,
    workload_of: HashMap<IpAddr, usize>,
    service_of: HashMap<IpAddr, usize>,
}

impl Table {
    /// The table before the first one arrives: it knows nobody and refuses all.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            version: 0,
            own: Own::default(),
            inbound: InboundMode::Strict,
            outbound: OutboundMode::MeshOnly,
            ports: PortModes::default(),
            workloads: Vec::new(),
            services: Vec::new(),
            exempt_sources: Vec::new(),
            probe_ports: Vec::new(),
            access: Arc::default(),
            mirrors_from: None,
            ipv6_only: false,
            gateways: Vec::new(),
            forwards: Vec::new(),
            workload_of: HashMap::new(),
            service_of: HashMap::new(),
        }
    }

    /// Whether this is [`Table::closed`]: nothing is known yet.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.version == 0 && self.own.addresses.is_empty() && self.workloads.is_empty()
    }

    /// The registry's version of this table.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The workload that the table belongs to.
    #[must_use]
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// What plaintext may reach `port` of this workload.
    #[must_use]
    pub fn inbound(&self, port: u16) -> InboundMode {
        self.ports.inbound(port).unwrap_or(self.inbound)
    }

    /// What this workload may reach outside the mesh at `port`: that of the destination itself, which
    /// for a service is its endpoint's.
    #[must_use]
    pub fn outbound(&self, port: u16) -> OutboundMode {
        self.ports.outbound(port).unwrap_or(self.outbound)
    }

    /// Who may reach this workload, beyond being of the mesh.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Whether flows over IPv4 are refused.
    #[must_use]
    pub fn ipv6_only(&self) -> bool {
        self.ipv6_only
    }

    /// Every workload of the mesh that the table knows.
    #[must_use]
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    /// Every service that the table knows.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The workload at `address`; v4-mapped addresses count as IPv4.
    #[must_use]
    pub fn workload_at(&self, address: IpAddr) -> Option<&Workload> {
        let index = *self.workload_of.get(&address.to_canonical())?;
        self.workloads.get(index)
    }

    /// The service that has `address` among its virtual ones.
    #[must_use]
    pub fn service_at(&self, address: IpAddr) -> Option<&Service> {
        let index = *self.service_of.get(&address.to_canonical())?;
        self.services.get(index)
    }

    /// Whether `address` is one of this workload's own.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.own.addresses.contains(&address.to_canonical())
    }

    /// The one address at which STOQ dials `workload`, so that all its flows
    /// share a connection: its first IPv6 address where this workload has IPv6
    /// too, else its first address.
    #[must_use]
    pub fn stoq_address(&self, workload: &Workload) -> Option<SocketAddr> {
        let speaks_v6 = self.own.addresses.iter().any(IpAddr::is_ipv6);
        let preferred = |address: &&IpAddr| address.is_ipv6() == speaks_v6;
        let found = workload.addresses.iter().find(preferred);
        let address = found.or(workload.addresses.first())?;
        Some(SocketAddr::new(*address, workload.port))
    }
}

/// `address` with a v4-mapped IPv6 address turned into the IPv4 one it means.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;
