//! Packets of an inner connection beside their tunnel (`docs/wire-format.md`, section 14, G13 to G18).
//!
//! ```text
//! packet   first byte of the inner packet, id 16 bytes, what is behind its connection ID
//! probe    a first byte of a short header, id 16 bytes, nonce 8 bytes
//! ```
//!
//! Both look like short headers of QUIC. No inner packet is as short as a probe: behind its connection
//! ID it has at least 20 bytes (RFC 9001, 5.4.2). Nothing here allocates.

use crate::frame::beside::InnerCid;

/// Bytes of an id.
pub const ID_LEN: usize = 16;

/// Bytes of a probe's nonce.
pub const NONCE_LEN: usize = 8;

/// Bytes of a probe.
pub const PROBE_LEN: usize = BEHIND_ID + NONCE_LEN;

/// Where the rest of a packet begins.
pub const BEHIND_ID: usize = 1 + ID_LEN;

/// Bit 7 of a packet's first byte: set on long headers (RFC 8999, 5.1).
const LONG_HEADER: u8 = 0x80;

/// QUIC's fixed bit, alone (RFC 9000, 17.3.1).
const SHORT_HEADER: u8 = 0x40;

/// What the receiver of bare packets tells tunnels apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BareId(pub [u8; ID_LEN]);

/// What came beside a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare<'a> {
    /// Asks whether such packets get through.
    Probe([u8; NONCE_LEN]),
    /// An inner packet, but for its connection ID.
    Packet {
        /// Its first byte.
        first: u8,
        /// What is behind the connection ID.
        rest: &'a [u8],
    },
}

/// Whether a packet has a short header.
#[must_use]
pub fn is_short(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & LONG_HEADER == 0)
}

/// Reads a datagram that may be one; `None` when it is too short, or has a long header.
#[must_use]
pub fn read(datagram: &[u8]) -> Option<(BareId, Bare<'_>)> {
    if !is_short(datagram) || datagram.len() < PROBE_LEN {
        return None;
    }
    let (head, rest) = datagram.split_first_chunk::<BEHIND_ID>()?;
    let (first, id) = head.split_first()?;
    let bare = match <[u8; NONCE_LEN]>::try_from(rest) {
        Ok(nonce) => Bare::Probe(nonce),
        Err(_) => Bare::Packet {
            first: *first,
            rest,
        },
    };
    Some((BareId(id.try_into().ok()?), bare))
}

/// A probe.
#[must_use]
pub fn probe(id: BareId, nonce: [u8; NONCE_LEN]) -> [u8; PROBE_LEN] {
    let mut datagram = [SHORT_HEADER; PROBE_LEN];
    datagram[1..BEHIND_ID].copy_from_slice(&id.0);
    datagram[BEHIND_ID..].copy_from_slice(&nonce);
    datagram
}

/// What is behind the connection ID of an inner packet, if its header is short and the ID is `cid`.
#[must_use]
pub fn behind<'a>(packet: &'a [u8], cid: &InnerCid) -> Option<&'a [u8]> {
    if !is_short(packet) {
        return None;
    }
    packet.get(1..)?.strip_prefix(cid.as_bytes())
}

/// Destination and source connection ID of a long header, if it has both and they are not empty.
#[must_use]
pub fn long_ids(packet: &[u8]) -> Option<(InnerCid, InnerCid)> {
    if is_short(packet) {
        return None;
    }
    let (destination, rest) = counted(packet.get(5..)?)?;
    let (source, _) = counted(rest)?;
    Some((InnerCid::new(destination)?, InnerCid::new(source)?))
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: BareId = BareId([7; ID_LEN]);

    #[test]
    fn a_probe_is_told_from_a_packet_by_its_length() {
        let datagram = probe(ID, [1, 2, 3, 4, 5, 6, 7, 8]);
        let nonce = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(read(&datagram), Some((ID, Bare::Probe(nonce))));
        assert_eq!(read(&datagram[..24]), None);
        let longer = [&datagram[..], b"9"].concat();
        let Some((ID, Bare::Packet { first, rest })) = read(&longer) else {
            panic!("{:?}", read(&longer));
        };
        assert_eq!((first, rest), (0x40, &longer[17..]));
    }

    #[test]
    fn only_short_headers_with_that_connection_id_go_bare() {
        let cid = InnerCid::new(b"12345678").unwrap();
        assert_eq!(behind(b"\x4012345678rest", &cid), Some(&b"rest"[..]));
        assert_eq!(behind(b"\x4012345679rest", &cid), None);
        assert_eq!(behind(b"\xc012345678rest", &cid), None);
        assert_eq!(behind(b"\x401234", &cid), None);
    }

    #[test]
    fn a_long_header_tells_both_connection_ids() {
        let packet = b"\xc0\0\0\0\x01\x02ab\x03cdeand more";
        let ids = [&b"ab"[..], b"cde"].map(|id| InnerCid::new(id).unwrap());
        assert_eq!(long_ids(packet), Some((ids[0], ids[1])));
        assert_eq!(long_ids(b"\xc0\0\0\0\x01\0\x03cde"), None, "one is empty");
        assert_eq!(long_ids(&packet[..9]), None);
        assert_eq!(long_ids(b"\x40\0\0\0\x01\x02ab\x03cde"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            if let Some((_, Bare::Packet { rest, .. })) = read(&bytes) {
                prop_assert!(rest.len() + BEHIND_ID == bytes.len());
            }
            let _ = long_ids(&bytes);
        }
    }
}
