//! UDP datagrams as Ethernet frames: written for a link, and read from it.
//!
//! What the kernel's stack would check is checked here, for the frames never reach it: lengths, the sums
//! of IPv4 and UDP, addresses that nobody can have (RFC 1122, 3.2.1.3; RFC 4291, 2). What it would put
//! together is refused: fragments, options, extension headers and tags, none of which STOQ sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::checksum::{folded, of_udp, sum};

/// An address of the link.
pub type Mac = [u8; 6];

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const ETHERTYPE_V4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_V6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;
const HOPS: u8 = 64;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

/// A datagram in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Whose it is.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// The two bits of ECN (RFC 3168, 5).
    pub ecn: u8,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Why a frame holds no datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Not IPv4 or IPv6 without a tag.
    NotIp,
    /// Something else than UDP without options or extension headers.
    NotUdp,
    /// A part of a datagram.
    Fragment,
    /// A length that cannot be, or that the frame does not have.
    Length,
    /// An address or port that nobody sends from, or to.
    Address,
    /// A sum that is not right, or missing.
    Checksum,
}

/// Bytes around a datagram's payload at most.
pub const MOST_HEADERS: usize = headers(true);

/// Bytes of a frame around a datagram's payload.
#[must_use]
pub const fn headers(ipv6: bool) -> usize {
    let ip = if ipv6 { V6_HEADER } else { V4_HEADER };
    ETHERNET + ip + UDP_HEADER
}

/// Writes the frame of `datagram` into the beginning of `space`, for the link from `from` to `to`, and
/// says how many bytes it has. None when the addresses are of two families, or for lack of space.
pub fn write(space: &mut [u8], from: Mac, to: Mac, datagram: &Datagram<'_>) -> Option<usize> {
    let size = headers(datagram.source.is_ipv6()) + datagram.payload.len();
    let frame = space.get_mut(..size)?;
    let headers = head(frame, from, to, datagram)?;
    frame[headers..].copy_from_slice(datagram.payload);
    Some(size)
}

/// As [`write`], without the payload: for frames whose parts lie apart.
pub fn head(space: &mut [u8], from: Mac, to: Mac, datagram: &Datagram<'_>) -> Option<usize> {
    let Datagram {
        source,
        destination,
        ecn,
        payload,
    } = *datagram;
    let size = headers(source.is_ipv6());
    let frame = space.get_mut(..size)?;
    let length = u16::try_from(payload.len() + UDP_HEADER).ok()?;
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    let pseudo = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => write_v4(frame, from, to, ecn, length)?,
        (IpAddr::V6(from), IpAddr::V6(to)) => write_v6(frame, from, to, ecn, length),
        _ => return None,
    };
    let udp = &mut frame[size - UDP_HEADER..];
    udp[..2].copy_from_slice(&source.port().to_be_bytes());
    udp[2..4].copy_from_slice(&destination.port().to_be_bytes());
    udp[4..6].copy_from_slice(&length.to_be_bytes());
    udp[6..8].fill(0);
    let checksum = of_udp(pseudo + sum(udp) + sum(payload));
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    Some(size)
}

/// The header of IPv4 (RFC 791, 3.1); returns the sum of the pseudo-header.
fn write_v4(frame: &mut [u8], from: Ipv4Addr, to: Ipv4Addr, ecn: u8, length: u16) -> Option<u64> {
    frame[12..14].copy_from_slice(&ETHERTYPE_V4);
    let ip = &mut frame[ETHERNET..ETHERNET + V4_HEADER];
    let total = length.checked_add(V4_HEADER as u16)?;
    ip[..2].copy_from_slice(&[0x45, ecn & 3]);
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    // Without fragments the identification says nothing (RFC 6864, 4.1).
    ip[4..6].fill(0);
    ip[6..8].copy_from_slice(&DONT_FRAGMENT);
    ip[8..12].copy_from_slice(&[HOPS, UDP, 0, 0]);
    ip[12..16].copy_from_slice(&from.octets());
    ip[16..20].copy_from_slice(&to.octets());
    let checksum = !folded(sum(ip));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    Some(pseudo(&ip[12..20], length))
}

/// The header of IPv6 (RFC 8200, 3), flow label 0; returns the sum of the pseudo-header.
fn write_v6(frame: &mut [u8], from: Ipv6Addr, to: Ipv6Addr, ecn: u8, length: u16) -> u64 {
    frame[12..14].copy_from_slice(&ETHERTYPE_V6);
    let ip = &mut frame[ETHERNET..ETHERNET + V6_HEADER];
    ip[..4].copy_from_slice(&[0x60, (ecn & 3) << 4, 0, 0]);
    ip[4..6].copy_from_slice(&length.to_be_bytes());
    ip[6..8].copy_from_slice(&[UDP, HOPS]);
    ip[8..24].copy_from_slice(&from.octets());
    ip[24..40].copy_from_slice(&to.octets());
    pseudo(&ip[8..40], length)
}

/// The sum of the pseudo-header (RFC 768; RFC 8200, 8.1) of these addresses.
fn pseudo(addresses: &[u8], length: u16) -> u64 {
    sum(addresses) + u64::from(UDP) + u64::from(length)
}

/// Reads the datagram of a frame. Bytes behind it are padding of the link.
///
/// # Errors
/// [`Malformed`] for whatever else there is in a frame.
pub fn read(frame: &[u8]) -> Result<Datagram<'_>, Malformed> {
    let (kind, packet) = frame
        .split_at_checked(ETHERNET)
        .map(|(ethernet, packet)| ([ethernet[12], ethernet[13]], packet))
        .ok_or(Malformed::Length)?;
    let (ends, ecn, addresses, udp) = match kind {
        ETHERTYPE_V4 => read_v4(packet)?,
        ETHERTYPE_V6 => read_v6(packet)?,
        _ => return Err(Malformed::NotIp),
    };
    let head = udp.first_chunk::<UDP_HEADER>().ok_or(Malformed::Length)?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    // A UDP length below that of the packet leaves bytes that no sum covers.
    if usize::from(word(4)) != udp.len() {
        return Err(Malformed::Length);
    }
    let pseudo = pseudo(addresses, word(4));
    if !summed(word(6), pseudo, udp) {
        return Err(Malformed::Checksum);
    }
    let [source, destination] = ends;
    if word(0) == 0 || word(2) == 0 || !may_send(source) || !may_send(destination) {
        return Err(Malformed::Address);
    }
    Ok(Datagram {
        source: SocketAddr::new(source, word(0)),
        destination: SocketAddr::new(destination, word(2)),
        ecn,
        payload: &udp[UDP_HEADER..],
    })
}

/// Whether the sum of a datagram is right. A sender on this machine leaves it to the device, which a
/// link made of software is not: then the field has the sum of the pseudo-header alone
/// (`CHECKSUM_PARTIAL`), and the bytes have not left memory.
fn summed(field: u16, pseudo: u64, udp: &[u8]) -> bool {
    field != 0 && (folded(pseudo + sum(udp)) == 0xffff || field == folded(pseudo))
}

type Parts<'a> = ([IpAddr; 2], u8, &'a [u8], &'a [u8]);

fn read_v4(packet: &[u8]) -> Result<Parts<'_>, Malformed> {
    let head = packet.first_chunk::<V4_HEADER>().ok_or(Malformed::Length)?;
    if head[0] >> 4 != 4 {
        return Err(Malformed::NotIp);
    }
    if head[0] != 0x45 || head[9] != UDP {
        return Err(Malformed::NotUdp);
    }
    if head[6] & 0x3f != 0 || head[7] != 0 {
        return Err(Malformed::Fragment);
    }
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let udp = packet.get(V4_HEADER..total).ok_or(Malformed::Length)?;
    if folded(sum(head)) != 0xffff {
        return Err(Malformed::Checksum);
    }
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
    let ends = [address(12).into(), address(16).into()];
    Ok((ends, head[1] & 3, &packet[12..20], udp))
}

fn read_v6(packet: &[u8]) -> Result<Parts<'_>, Malformed> {
    let head = packet.first_chunk::<V6_HEADER>().ok_or(Malformed::Length)?;
    if head[0] >> 4 != 6 {
        return Err(Malformed::NotIp);
    }
    if head[6] != UDP {
        return Err(Malformed::NotUdp);
    }
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let udp = packet.get(V6_HEADER..V6_HEADER + length);
    let udp = udp.ok_or(Malformed::Length)?;
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&head[at..at + 16]);
        IpAddr::from(Ipv6Addr::from(octets))
    };
    let ends = [address(8), address(24)];
    Ok((ends, head[1] >> 4 & 3, &packet[8..40], udp))
}

/// Whether somebody on another machine can have this address for its own. One of the link has meaning
/// with its interface only, and STOQ's peers have none of these.
fn may_send(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_multicast()
                || v4.is_loopback()
                || v4.is_broadcast()
                || v4.is_link_local()
                || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            !(v6.is_multicast()
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.to_ipv4_mapped().is_some())
        }
    }
}

#[cfg(test)]
mod tests;
