//! HOP: a route over gateways, and the packets that take it (wire format, section 14).
//!
//! ```text
//! type      8 bytes, 0xfe000003
//! form      1 byte: 0 open, 1 packet, 2 origin, 3 to 5 see `beside`
//!
//! open      route 16 bytes, position 1 byte, count 1 byte, an identity for each gateway,
//!           destination 7 or 19 bytes, identity
//! packet    tunnel varint, length varint, data
//! origin    length varint, leaf
//! ```

use std::net::SocketAddr;

use bytes::Bytes;

use super::beside::Beside;
use super::reader::{Reader, Stop, bounded, write_identity};
use super::{FrameError, FrameType};
use crate::{address, varint};

/// Most gateways of a route.
pub const MAX_GATEWAYS: usize = 8;

/// The longest packet of an inner connection, in bytes.
pub const MAX_PACKET_LEN: u64 = 65_527;

/// The frame of one inner packet, which has 1 to [`MAX_PACKET_LEN`] bytes: as [`Hop::Packet`] is
/// written, with one copy.
#[must_use]
pub fn packet_frame(tunnel: u64, packet: &[u8]) -> Bytes {
    let length = packet.len() as u64;
    debug_assert!((1..=MAX_PACKET_LEN).contains(&length));
    let mut out = Vec::with_capacity(packet_overhead(tunnel, packet.len()) + packet.len());
    varint::write(FrameType::Hop.as_u64(), &mut out);
    out.push(1);
    varint::write(tunnel, &mut out);
    varint::write(length, &mut out);
    out.extend_from_slice(packet);
    out.into()
}

/// The longest certificate of an origin, in bytes (K1).
pub const MAX_ORIGIN_LEN: u64 = 8192;

/// Names a route at every gateway of it. Random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub [u8; 16]);

/// A route, a packet on it, or who began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// Opens a route.
    Open(Route),
    /// A datagram of the inner connection.
    Packet {
        /// QUIC stream id of the stream that the route was opened on.
        tunnel: u64,
        /// At least a byte.
        data: Bytes,
    },
    /// The certificate of who began the route that follows, DER.
    Origin(Bytes),
    /// What agrees on packets beside the tunnel.
    Beside(Beside),
}

/// The way to a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub id: RouteId,
    /// Gateways passed so far.
    pub position: u8,
    /// SPIFFE ids of the gateways, in order.
    pub gateways: Vec<String>,
    /// Address of the workload at the end.
    pub destination: SocketAddr,
    /// SPIFFE id of that workload.
    pub identity: String,
}

const NAME: &str = FrameType::Hop.name();

/// Bytes of a packet's frame beside the `length` bytes of the inner packet: 8 of type, 1 of form,
/// and two varints.
#[must_use]
pub const fn packet_overhead(tunnel: u64, length: usize) -> usize {
    9 + varint::size(tunnel) + varint::size(length as u64)
}

impl Hop {
    pub(super) const fn form(&self) -> u8 {
        match self {
            Self::Open(_) => 0,
            Self::Packet { .. } => 1,
            Self::Origin(_) => 2,
            Self::Beside(beside) => beside.form(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        out.push(self.form());
        match self {
            Self::Open(route) => route.write(out),
            Self::Packet { tunnel, data } => {
                bounded(NAME, "tunnel", *tunnel, 0, varint::MAX)?;
                bounded(NAME, "length", data.len() as u64, 1, MAX_PACKET_LEN)?;
                varint::write(*tunnel, out);
                varint::write(data.len() as u64, out);
                out.extend_from_slice(data);
                Ok(())
            }
            Self::Origin(leaf) => {
                bounded(NAME, "length", leaf.len() as u64, 1, MAX_ORIGIN_LEN)?;
                varint::write(leaf.len() as u64, out);
                out.extend_from_slice(leaf);
                Ok(())
            }
            Self::Beside(beside) => {
                beside.write(out);
                Ok(())
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        match reader.bounded_byte("form", 0, 5)? {
            0 => Ok(Self::Open(Route::read(reader)?)),
            1 => {
                let tunnel = reader.varint()?;
                let length = reader.bounded("length", 1, MAX_PACKET_LEN)?;
                Ok(Self::Packet {
                    tunnel,
                    data: reader.data(length)?,
                })
            }
            2 => {
                let length = reader.bounded("length", 1, MAX_ORIGIN_LEN)?;
                Ok(Self::Origin(reader.data(length)?))
            }
            form => Ok(Self::Beside(Beside::read(form, reader)?)),
        }
    }
}

impl Route {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let count = self.gateways.len();
        bounded(
            NAME,
            "number of gateways",
            count as u64,
            1,
            MAX_GATEWAYS as u64,
        )?;
        bounded(NAME, "position", self.position.into(), 0, count as u64 - 1)?;
        out.extend_from_slice(&self.id.0);
        out.push(self.position);
        out.push(count as u8);
        for gateway in &self.gateways {
            write_identity(NAME, gateway, out)?;
        }
        address::write(self.destination, out);
        write_identity(NAME, &self.identity, out)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let id = RouteId(reader.array()?);
        let position = reader.bounded_byte("position", 0, MAX_GATEWAYS as u8 - 1)?;
        let count = reader.bounded_byte("number of gateways", 1, MAX_GATEWAYS as u8)?;
        bounded(NAME, "position", position.into(), 0, u64::from(count) - 1)?;
        let gateways = (0..count)
            .map(|_| reader.identity())
            .collect::<Result<_, _>>()?;
        let destination = reader.address()?;
        Ok(Self {
            id,
            position,
            gateways,
            destination,
            identity: reader.identity()?,
        })
    }
}
