//! UDP datagrams as whole IP packets, for sockets that take the header too.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BufMut;

use super::checksum::{folded, of_udp, sum};

const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const HOPS: u8 = 64;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;

/// Most bytes of an IP packet's length field.
const LARGEST: usize = 65_535;

/// IPv4's flag by which a packet that is too long is refused and not divided (RFC 791, 3.1).
const DONT_FRAGMENT: u16 = 0x4000;

/// Whether a datagram may go in several packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragments {
    /// Where one of more than so many bytes would be needed.
    Above(usize),
    /// Nowhere, and in IPv4 the packet says so to routers.
    Never,
}

impl Fragments {
    /// Bytes of the longest packet.
    const fn longest(self) -> usize {
        match self {
            Self::Above(mtu) => mtu,
            Self::Never => usize::MAX,
        }
    }

    /// The flag of IPv4.
    const fn flag(self) -> u16 {
        match self {
            Self::Above(_) => 0,
            Self::Never => DONT_FRAGMENT,
        }
    }
}

/// The packets that carry `payload` from `source` to `destination`: one, or `fragments` of it numbered
/// `id`. None when the addresses are of two families or the payload is longer than UDP allows.
#[must_use]
pub fn packets(
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
    fragments: Fragments,
    id: u32,
) -> Option<Vec<Vec<u8>>> {
    match (source, destination) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            let udp = datagram(
                &pseudo_v4(*from.ip(), *to.ip()),
                source,
                destination,
                payload,
            )?;
            if udp.len() > LARGEST - V4_HEADER {
                return None;
            }
            Some(in_v4(*from.ip(), *to.ip(), &udp, fragments, id as u16))
        }
        (SocketAddr::V6(from), SocketAddr::V6(to)) => {
            let udp = datagram(
                &pseudo_v6(*from.ip(), *to.ip()),
                source,
                destination,
                payload,
            )?;
            Some(in_v6(*from.ip(), *to.ip(), &udp, fragments, id))
        }
        _ => None,
    }
}

/// Header and payload of UDP; `pseudo` is the sum of the pseudo-header less the length.
fn datagram(
    pseudo: &[u8],
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len() + UDP_HEADER).ok()?;
    let mut udp = Vec::with_capacity(length.into());
    udp.put_u16(source.port());
    udp.put_u16(destination.port());
    udp.put_u16(length);
    udp.put_u16(0);
    udp.put_slice(payload);
    let total = sum(&udp) + sum(pseudo) + u64::from(UDP) + u64::from(length);
    udp[6..8].copy_from_slice(&of_udp(total).to_be_bytes());
    Some(udp)
}

fn pseudo_v4(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    [from.octets(), to.octets()].concat()
}

fn pseudo_v6(from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    [from.octets(), to.octets()].concat()
}

/// Bytes of each fragment's part: a multiple of eight but for the last.
fn part(room: usize) -> usize {
    (room & !7).max(8)
}

fn in_v4(from: Ipv4Addr, to: Ipv4Addr, udp: &[u8], fragments: Fragments, id: u16) -> Vec<Vec<u8>> {
    const MORE: u16 = 0x2000;
    let longest = fragments.longest();
    let size = if V4_HEADER + udp.len() <= longest {
        udp.len()
    } else {
        part(longest.saturating_sub(V4_HEADER))
    };
    let mut made = Vec::new();
    for (number, piece) in udp.chunks(size).enumerate() {
        let offset = number * size;
        let more = if offset + piece.len() < udp.len() {
            MORE
        } else {
            0
        };
        let mut packet = Vec::with_capacity(V4_HEADER + piece.len());
        packet.put_slice(&[0x45, 0]);
        packet.put_u16((V4_HEADER + piece.len()) as u16);
        packet.put_u16(id);
        packet.put_u16((offset / 8) as u16 | more | fragments.flag());
        packet.put_slice(&[HOPS, UDP, 0, 0]);
        packet.put_slice(&from.octets());
        packet.put_slice(&to.octets());
        let checksum = !folded(sum(&packet));
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet.put_slice(piece);
        made.push(packet);
    }
    made
}

fn in_v6(from: Ipv6Addr, to: Ipv6Addr, udp: &[u8], fragments: Fragments, id: u32) -> Vec<Vec<u8>> {
    const HEADER: usize = 8;
    let head = |length: usize, next: u8| {
        let mut packet = Vec::with_capacity(V6_HEADER + length);
        packet.put_slice(&[0x60, 0, 0, 0]);
        packet.put_u16(length as u16);
        packet.put_slice(&[next, HOPS]);
        packet.put_slice(&from.octets());
        packet.put_slice(&to.octets());
        packet
    };
    let longest = fragments.longest();
    if V6_HEADER + udp.len() <= longest {
        let mut packet = head(udp.len(), UDP);
        packet.put_slice(udp);
        return vec![packet];
    }
    let size = part(longest.saturating_sub(V6_HEADER + HEADER));
    let mut made = Vec::new();
    for (number, piece) in udp.chunks(size).enumerate() {
        let offset = number * size;
        let more = u16::from(offset + piece.len() < udp.len());
        let mut packet = head(HEADER + piece.len(), FRAGMENT);
        packet.put_slice(&[UDP, 0]);
        packet.put_u16(offset as u16 | more);
        packet.put_u32(id);
        packet.put_slice(piece);
        made.push(packet);
    }
    made
}

#[cfg(test)]
mod tests;
