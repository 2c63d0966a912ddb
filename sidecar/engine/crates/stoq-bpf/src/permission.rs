//! What strict mode lets pass in the clear, and how the maps say so.

use std::net::IpAddr;

use aya::maps::HashMap;
use aya::maps::lpm_trie::{Key, LpmTrie};

use crate::address::{Network, mapped, unmapped};
use crate::error::Error;
use crate::maps::{at, found};
use crate::numbers::{Direction, Reason};
use crate::shared::{PodNetwork, PortKey, ServiceKey};
use crate::strict::Strict;

const NETWORKS: &str = "strict_networks";
const SERVICES: &str = "strict_services";
const PORTS: &str = "strict_ports";
/// Bits of the interface's index and the direction, which a network's come behind.
const BEFORE_BITS: u32 = 64;
const TCP: u8 = 6;

/// Plaintext that may open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// With every address of a network, all protocols.
    Network {
        /// The addresses.
        network: Network,
        /// Who may open.
        direction: Direction,
    },
    /// The pod may dial one address and port.
    Service {
        /// Where.
        address: IpAddr,
        /// The port.
        port: u16,
        /// IP protocol number, 6 or 17.
        protocol: u8,
        /// [`Reason::Dns`], [`Reason::ApiServer`] or [`Reason::Exempt`], by which it is counted.
        reason: Reason,
    },
    /// Towards a destination port, at whatever address.
    Port {
        /// The port.
        port: u16,
        /// IP protocol number, 6 or 17.
        protocol: u8,
        /// Who may open.
        direction: Direction,
    },
    /// This host, and nobody whose packets it forwards, may open TCP towards a port of the pod.
    Probe {
        /// The port.
        port: u16,
    },
}

/// One entry of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Bits that count, and the key.
    Network(u32, PodNetwork),
    Service(ServiceKey, u32),
    Port(PortKey, u32),
}

impl Strict {
    /// Lets plaintext of a pod, or with `None` of every pod, open connections. Their answers pass too.
    ///
    /// # Errors
    /// [`Error::Value`] for interface 0 or a reason that is none of a service's, [`Error::Map`] if the
    /// map is full (16,384 permissions of a kind).
    pub fn permit(&mut self, ifindex: Option<u32>, permission: Permission) -> Result<(), Error> {
        match permission.entry(scope(ifindex)?)? {
            Entry::Network(bits, key) => {
                let mut map: LpmTrie<_, PodNetwork, u32> = self.0.map_mut(NETWORKS)?;
                map.insert(&Key::new(bits, key), 1, 0).map_err(at(NETWORKS))
            }
            Entry::Service(key, reason) => {
                let mut map: HashMap<_, ServiceKey, u32> = self.0.map_mut(SERVICES)?;
                map.insert(key, reason, 0).map_err(at(SERVICES))
            }
            Entry::Port(key, reason) => {
                let mut map: HashMap<_, PortKey, u32> = self.0.map_mut(PORTS)?;
                map.insert(key, reason, 0).map_err(at(PORTS))
            }
        }
    }

    /// Takes a permission back. What it let open goes on passing until nobody speaks for long.
    ///
    /// # Errors
    /// As [`Self::permit`].
    pub fn forbid(&mut self, ifindex: Option<u32>, permission: Permission) -> Result<(), Error> {
        match permission.entry(scope(ifindex)?)? {
            Entry::Network(bits, key) => {
                let mut map: LpmTrie<_, PodNetwork, u32> = self.0.map_mut(NETWORKS)?;
                let removed = map.remove(&Key::new(bits, key));
                found(removed).map(drop).map_err(at(NETWORKS))
            }
            Entry::Service(key, _) => {
                let mut map: HashMap<_, ServiceKey, u32> = self.0.map_mut(SERVICES)?;
                found(map.remove(&key)).map(drop).map_err(at(SERVICES))
            }
            Entry::Port(key, _) => {
                let mut map: HashMap<_, PortKey, u32> = self.0.map_mut(PORTS)?;
                found(map.remove(&key)).map(drop).map_err(at(PORTS))
            }
        }
    }

    /// The permissions of a pod, or with `None` those of every pod, in no order.
    ///
    /// # Errors
    /// [`Error::Map`] as the kernel says.
    pub fn permissions(&self, ifindex: Option<u32>) -> Result<Vec<Permission>, Error> {
        let ifindex = scope(ifindex)?;
        let mut all = Vec::new();
        let networks: LpmTrie<_, PodNetwork, u32> = self.0.map(NETWORKS)?;
        for entry in networks.iter() {
            let (key, _) = entry.map_err(at(NETWORKS))?;
            let (bits, data) = (key.prefix_len(), key.data());
            if data.ifindex == ifindex {
                all.extend(network_of(bits, data));
            }
        }
        let services: HashMap<_, ServiceKey, u32> = self.0.map(SERVICES)?;
        for entry in services.iter() {
            let (key, reason) = entry.map_err(at(SERVICES))?;
            if key.ifindex == ifindex {
                all.extend(service_of(key, reason));
            }
        }
        let ports: HashMap<_, PortKey, u32> = self.0.map(PORTS)?;
        for entry in ports.iter() {
            let (key, reason) = entry.map_err(at(PORTS))?;
            if key.ifindex == ifindex {
                all.extend(port_of(key, reason));
            }
        }
        Ok(all)
    }
}

impl Permission {
    fn entry(self, ifindex: u32) -> Result<Entry, Error> {
        Ok(match self {
            Self::Network { network, direction } => Entry::Network(
                BEFORE_BITS + network.prefix_bits(),
                PodNetwork {
                    ifindex,
                    direction: direction as u32,
                    address: network.octets(),
                },
            ),
            Self::Service {
                address,
                port,
                protocol,
                reason,
            } => {
                if !matches!(reason, Reason::Dns | Reason::ApiServer | Reason::Exempt) {
                    let text = format!("{reason:?} is no reason why a service may be dialled");
                    return Err(Error::Value(text));
                }
                let key = ServiceKey {
                    ifindex,
                    address: mapped(address),
                    port,
                    protocol,
                    reserved: 0,
                };
                Entry::Service(key, reason as u32)
            }
            Self::Port {
                port,
                protocol,
                direction,
            } => Entry::Port(
                port_key(ifindex, port, protocol, direction),
                Reason::Exempt as u32,
            ),
            Self::Probe { port } => {
                let key = port_key(ifindex, port, TCP, Direction::ToPod);
                Entry::Port(key, Reason::Probe as u32)
            }
        })
    }
}

const fn port_key(ifindex: u32, port: u16, protocol: u8, direction: Direction) -> PortKey {
    PortKey {
        ifindex,
        port,
        protocol,
        direction: direction as u8,
    }
}

/// The maps say 0 where they mean every pod; no interface has that index.
fn scope(ifindex: Option<u32>) -> Result<u32, Error> {
    match ifindex {
        Some(0) => Err(Error::NoInterface(0)),
        Some(index) => Ok(index),
        None => Ok(0),
    }
}

fn network_of(bits: u32, key: PodNetwork) -> Option<Permission> {
    let bits = bits.checked_sub(BEFORE_BITS)?;
    Some(Permission::Network {
        network: Network::from_key(bits, key.address)?,
        direction: *Direction::ALL.get(key.direction as usize)?,
    })
}

fn service_of(key: ServiceKey, reason: u32) -> Option<Permission> {
    Some(Permission::Service {
        address: unmapped(key.address),
        port: key.port,
        protocol: key.protocol,
        reason: *Reason::ALL.get(reason as usize)?,
    })
}

fn port_of(key: PortKey, reason: u32) -> Option<Permission> {
    if reason == Reason::Probe as u32 {
        return Some(Permission::Probe { port: key.port });
    }
    Some(Permission::Port {
        port: key.port,
        protocol: key.protocol,
        direction: *Direction::ALL.get(usize::from(key.direction))?,
    })
}
