//! IPv6 packets with a UDP datagram that pretends to be QUIC, each from an address of nobody's.

use std::net::SocketAddrV6;

/// The documentation network (RFC 3849): no reply goes anywhere.
const NETWORK: [u8; 4] = [0x20, 0x01, 0x0d, 0xb8];

/// Where things begin, bytes.
const SOURCE: usize = 8;
const DESTINATION: usize = 24;
const UDP: usize = 40;
const CHECKSUM: usize = UDP + 6;
const PAYLOAD: usize = UDP + 8;
/// Of the connection id, in what varies from packet to packet.
const CONNECTION: usize = PAYLOAD + 6;

/// RFC 8200, 4: the protocol number.
const PROTOCOL_UDP: u8 = 17;
const SOURCE_PORT: u16 = 4433;

/// Shorter ones are no Initials of anybody (RFC 9000, 14.1), and hold no headers.
pub(crate) const SIZES: std::ops::RangeInclusive<usize> = 64..=1400;

/// What a datagram looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client's first packet (RFC 9000, 17.2.2) with noise where it would be encrypted.
    Initial,
    /// A long header of a version that nobody speaks.
    Junk,
}

/// One packet, changed in place from one to the next.
pub(crate) struct Packet {
    bytes: Vec<u8>,
    /// The checksum's sum (RFC 1071) over all that does not vary.
    constant: u32,
    numbers: Numbers,
}

impl Packet {
    /// With `size` bytes of payload, within [`SIZES`].
    pub(crate) fn new(target: SocketAddrV6, kind: Kind, size: usize, seed: u64) -> Self {
        let mut numbers = Numbers(seed | 1);
        let udp_length = u16::try_from(size + 8).expect("sizes are within SIZES");
        let mut bytes = vec![0; PAYLOAD + size];
        bytes[0] = 0x60;
        bytes[4..6].copy_from_slice(&udp_length.to_be_bytes());
        bytes[6..8].copy_from_slice(&[PROTOCOL_UDP, 64]);
        bytes[DESTINATION..UDP].copy_from_slice(&target.ip().octets());
        bytes[UDP..UDP + 2].copy_from_slice(&SOURCE_PORT.to_be_bytes());
        bytes[UDP + 2..UDP + 4].copy_from_slice(&target.port().to_be_bytes());
        bytes[UDP + 4..CHECKSUM].copy_from_slice(&udp_length.to_be_bytes());
        for at in (PAYLOAD..bytes.len()).step_by(8) {
            let noise = numbers.next().to_be_bytes();
            let end = bytes.len().min(at + 8);
            bytes[at..end].copy_from_slice(&noise[..end - at]);
        }
        let version: u32 = match kind {
            Kind::Initial => 1,
            Kind::Junk => 0xbabe_babe,
        };
        bytes[PAYLOAD] = 0xc0;
        bytes[PAYLOAD + 1..PAYLOAD + 5].copy_from_slice(&version.to_be_bytes());
        bytes[PAYLOAD + 5] = 8;
        // No source connection id, no token, and the rest of the datagram as the packet's length.
        let rest = u16::try_from(size - 18).expect("sizes are within SIZES");
        bytes[CONNECTION + 8..CONNECTION + 10].fill(0);
        bytes[CONNECTION + 10..CONNECTION + 12].copy_from_slice(&(0x4000 | rest).to_be_bytes());
        bytes[SOURCE..DESTINATION].fill(0);
        bytes[CONNECTION..CONNECTION + 8].fill(0);
        let pseudo = u32::from(udp_length) + u32::from(PROTOCOL_UDP);
        let constant = pseudo + sum(&bytes[DESTINATION..]);
        Self {
            bytes,
            constant,
            numbers,
        }
    }

    /// The next one: another source, another connection, and a checksum that is right.
    pub(crate) fn next(&mut self) -> &[u8] {
        let (high, low) = (self.numbers.next(), self.numbers.next());
        self.vary(high, low)
    }

    /// With zeros where one differs from the next, for who fills them in and keeps their sum.
    pub(crate) fn blank(&mut self) -> &[u8] {
        self.vary(0, 0)
    }

    fn vary(&mut self, high: u64, low: u64) -> &[u8] {
        let bytes = &mut self.bytes;
        bytes[SOURCE..SOURCE + 8].copy_from_slice(&high.to_be_bytes());
        bytes[SOURCE..SOURCE + 4].copy_from_slice(&NETWORK);
        bytes[SOURCE + 8..DESTINATION].copy_from_slice(&low.to_be_bytes());
        bytes[CONNECTION..CONNECTION + 8].copy_from_slice(&(high ^ low).to_be_bytes());
        let varying = sum(&bytes[SOURCE..DESTINATION]) + sum(&bytes[CONNECTION..CONNECTION + 8]);
        let checksum = match !folded(self.constant + varying) {
            0 => 0xffff, // RFC 8200, 8.1: 0 is sent as its other form
            sum => sum,
        };
        bytes[CHECKSUM..PAYLOAD].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

/// The sum of 16-bit words, not folded: at most 1,500 bytes, so it cannot overflow.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    words
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
        .sum()
}

fn folded(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

/// xorshift64 (Marsaglia 2003): as random as spoofed addresses need to be.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
