//! The table as JSON, checked and indexed.
//!
//! Unknown fields are refused: a misspelt one would silently mean its default.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use stoq_wire::stripe::{MAX_LANES, MIN_LANES};

use super::access::{Access, RuleDocument};
use super::ports::{PortModeDocument, PortModes};
use super::ways::{self, ForwardDocument};
use super::{
    Endpoint, GatewayAt, InboundMode, Mirror, Network, OutboundMode, Own, Service, ServicePort,
    Table, TableError, Transport, Workload, index,
};
use crate::spiffe::SpiffeId;

impl Table {
    /// Reads a table from its JSON document.
    ///
    /// # Errors
    /// [`TableError`] naming the first field that is missing, unknown, of the
    /// wrong type, out of range, or that contradicts another: an address may
    /// belong to one workload or one service only.
    pub fn from_json(text: &str) -> Result<Self, TableError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let document: Document =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| TableError {
                field: error.path().to_string(),
                problem: error.inner().to_string(),
            })?;
        reader.end().map_err(|error| TableError {
            field: ".".to_owned(),
            problem: error.to_string(),
        })?;
        document.into_table()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    own: OwnDocument,
    inbound: InboundMode,
    outbound: OutboundMode,
    #[serde(default)]
    ports: Vec<PortModeDocument>,
    #[serde(default)]
    workloads: Vec<WorkloadDocument>,
    #[serde(default)]
    services: Vec<ServiceDocument>,
    #[serde(default)]
    exempt_sources: Vec<Text<Network>>,
    #[serde(default)]
    probe_ports: Vec<Port>,
    #[serde(default)]
    access: Vec<RuleDocument>,
    #[serde(default)]
    mirrors_from: Option<Vec<Text<SpiffeId>>>,
    #[serde(default)]
    ipv6_only: bool,
    #[serde(default)]
    gateways: Vec<GatewayDocument>,
    #[serde(default)]
    forwards: Vec<ForwardDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnDocument {
    name: String,
    namespace: String,
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkloadDocument {
    uid: String,
    name: String,
    namespace: String,
    spiffe_id: Text<SpiffeId>,
    addresses: Vec<Address>,
    #[serde(default = "stoq_port")]
    port: Port,
    #[serde(default)]
    via: Vec<Vec<Text<SpiffeId>>>,
    #[serde(default)]
    lanes: Lanes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayDocument {
    spiffe_id: Text<SpiffeId>,
    address: Address,
    #[serde(default = "stoq_port")]
    port: Port,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceDocument {
    name: String,
    namespace: String,
    vips: Vec<Address>,
    ports: Vec<PortDocument>,
    #[serde(default)]
    endpoints: Vec<EndpointDocument>,
    #[serde(default)]
    spiffe_ids: Vec<Text<SpiffeId>>,
    #[serde(default)]
    mirrors: Vec<MirrorDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorDocument {
    vip: Address,
    share: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PortDocument {
    port: Port,
    target: Option<Port>,
    #[serde(default)]
    protocol: Transport,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointDocument {
    address: Address,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    targets: Vec<u16>,
}

fn stoq_port() -> Port {
    Port(stoq_wire::STOQ_PORT)
}

fn one() -> u32 {
    1
}

/// A value written as text and read by its own parser.
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// An address that a host can have: canonical, unicast, not loopback.
struct Address(IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
        match address {
            Ok(ip) if !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast()) => {
                Ok(Self(ip))
            }
            _ => Err(D::Error::custom(format!(
                "{text:?} is no address of a workload: write an IPv4 or IPv6 unicast address that is not loopback"
            ))),
        }
    }
}

/// A port other than 0.
pub(super) struct Port(pub(super) u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            0 => Err(D::Error::custom("port 0 is no port: write 1 to 65535")),
            port => Ok(Self(port)),
        }
    }
}

/// Lanes of a striped flow, or none.
#[derive(Default)]
struct Lanes(u8);

impl<'de> Deserialize<'de> for Lanes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            lanes @ (0 | MIN_LANES..=MAX_LANES) => Ok(Self(lanes)),
            lanes => Err(D::Error::custom(format!(
                "a flow of {lanes} lanes: write {MIN_LANES} to {MAX_LANES}, or leave it out"
            ))),
        }
    }
}

impl Document {
    fn into_table(self) -> Result<Table, TableError> {
        let workloads: Vec<Workload> = self.workloads.into_iter().map(Into::into).collect();
        let services: Vec<Service> = self.services.into_iter().map(Into::into).collect();
        let workload_of = index::workloads(&workloads)?;
        let service_of = index::services(&services, &workload_of)?;
        let gateways: Vec<GatewayAt> = self.gateways.into_iter().map(Into::into).collect();
        ways::check(&workloads, &gateways)?;
        let own = Own {
            name: self.own.name,
            namespace: self.own.namespace,
            addresses: plain(self.own.addresses),
        };
        let mut known = own.addresses.iter().filter_map(|ip| workload_of.get(ip));
        let home = known
            .next()
            .map(|index| workloads[*index].spiffe_id.trust_domain().clone());
        let access = Access::new(self.access, home)?;
        index::mirrors(&services, &service_of)?;
        let ids = |ids: Vec<Text<SpiffeId>>| ids.into_iter().map(|id| id.0).collect();
        Ok(Table {
            version: self.version,
            own,
            inbound: self.inbound,
            outbound: self.outbound,
            ports: PortModes::new(self.ports)?,
            workloads,
            services,
            exempt_sources: self.exempt_sources.into_iter().map(|n| n.0).collect(),
            probe_ports: self.probe_ports.into_iter().map(|port| port.0).collect(),
            access: Arc::new(access),
            mirrors_from: self.mirrors_from.map(ids),
            ipv6_only: self.ipv6_only,
            gateways,
            forwards: self.forwards.into_iter().map(Into::into).collect(),
            workload_of,
            service_of,
        })
    }
}

impl From<WorkloadDocument> for Workload {
    fn from(document: WorkloadDocument) -> Self {
        Self {
            uid: document.uid,
            name: document.name,
            namespace: document.namespace,
            spiffe_id: document.spiffe_id.0,
            addresses: plain(document.addresses),
            port: document.port.0,
            via: document.via.into_iter().map(ids).collect(),
            lanes: document.lanes.0,
        }
    }
}

impl From<GatewayDocument> for GatewayAt {
    fn from(document: GatewayDocument) -> Self {
        Self {
            spiffe_id: document.spiffe_id.0,
            address: SocketAddr::new(document.address.0, document.port.0),
        }
    }
}

impl From<ServiceDocument> for Service {
    fn from(document: ServiceDocument) -> Self {
        let port = |document: PortDocument| ServicePort {
            port: document.port.0,
            target: document.target.map_or(document.port.0, |target| target.0),
            transport: document.protocol,
        };
        let endpoint = |document: EndpointDocument| Endpoint {
            address: document.address.0,
            weight: document.weight,
            targets: document.targets,
        };
        let mirror = |document: MirrorDocument| Mirror {
            to: document.vip.0,
            share: document.share,
        };
        Self {
            name: document.name,
            namespace: document.namespace,
            vips: plain(document.vips),
            ports: document.ports.into_iter().map(port).collect(),
            endpoints: document.endpoints.into_iter().map(endpoint).collect(),
            spiffe_ids: ids(document.spiffe_ids),
            mirrors: document.mirrors.into_iter().map(mirror).collect(),
        }
    }
}

fn ids(texts: Vec<Text<SpiffeId>>) -> Vec<SpiffeId> {
    texts.into_iter().map(|id| id.0).collect()
}

fn plain(addresses: Vec<Address>) -> Vec<IpAddr> {
    addresses.into_iter().map(|address| address.0).collect()
}
