//! Crafted frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const STOQ: u16 = 14008;
pub(crate) const CONTROL: u16 = 14012;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

/// What a frame is made of; [`Frame::build`] puts it together.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) tags: Vec<u16>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) hop_limit: u8,
    /// Extension headers of IPv6, or words of options of IPv4: kind and bytes.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    /// Offset in 8 bytes and whether more follow.
    pub(crate) fragment: Option<(u16, bool)>,
    pub(crate) protocol: u8,
    pub(crate) transport: Vec<u8>,
}

pub(crate) fn four(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

pub(crate) fn six(last: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

/// A frame with this transport header and payload, from host 1 to host 2.
pub(crate) fn frame(ipv6: bool, protocol: u8, transport: Vec<u8>) -> Frame {
    let (source, destination) = if ipv6 {
        (six(1), six(2))
    } else {
        (four(1), four(2))
    };
    Frame {
        tags: vec![],
        source,
        destination,
        hop_limit: 64,
        extensions: vec![],
        fragment: None,
        protocol,
        transport,
    }
}

pub(crate) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend(((payload.len() + 8) as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn tcp(source: u16, destination: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend([0; 8]);
    bytes.extend([5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn icmp(kind: u8) -> Vec<u8> {
    vec![kind, 0, 0, 0, 0, 0, 0, 0]
}

/// An Ethernet frame of another protocol.
pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}

impl Frame {
    pub(crate) fn build(&self) -> Vec<u8> {
        let (kind, packet) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => (0x0800, self.v4(source, destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => (0x86dd, self.v6(source, destination)),
            mixed => panic!("{mixed:?}"),
        };
        let mut tagged = vec![];
        for tag in &self.tags {
            tagged.extend(tag.to_be_bytes());
            tagged.extend([0, 7]);
        }
        let mut bytes = ethernet(kind, &packet);
        // Each tag's protocol stands where the packet's would.
        bytes.splice(12..12, tagged);
        bytes
    }

    pub(crate) fn back(&self, transport: Vec<u8>) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            transport,
            ..self.clone()
        }
    }

    fn v4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let options: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        let header = 20 + options.len();
        let (offset, more) = self.fragment.unwrap_or((0, false));
        let mut bytes = vec![0x40 | (header / 4) as u8, 0];
        bytes.extend(((header + self.transport.len()) as u16).to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend((offset | u16::from(more) << 13).to_be_bytes());
        bytes.extend([self.hop_limit, self.protocol, 0, 0]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        bytes.extend(options);
        bytes.extend(&self.transport);
        bytes
    }

    fn v6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        let mut headers = self.extensions.clone();
        if let Some((offset, more)) = self.fragment {
            let word = (offset << 3 | u16::from(more)).to_be_bytes();
            headers.push((44, vec![0, 0, word[0], word[1], 0, 0, 0, 1]));
        }
        let mut chain = vec![];
        for (index, (_, bytes)) in headers.iter().enumerate() {
            let next = headers
                .get(index + 1)
                .map_or(self.protocol, |(kind, _)| *kind);
            chain.push(next);
            chain.extend(&bytes[1..]);
        }
        let first = headers.first().map_or(self.protocol, |(kind, _)| *kind);
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((chain.len() + self.transport.len()) as u16).to_be_bytes());
        bytes.extend([first, self.hop_limit]);
        bytes.extend(source.octets());
        bytes.extend(destination.octets());
        bytes.extend(chain);
        bytes.extend(&self.transport);
        bytes
    }
}

/// An options header of IPv6 of `words` times 8 bytes, as hop-by-hop (0) or destination options (60).
pub(crate) fn options(kind: u8, words: u8) -> (u8, Vec<u8>) {
    let mut bytes = vec![0; usize::from(words) * 8];
    bytes[1] = words - 1;
    (kind, bytes)
}

/// A long header of QUIC version 1 with its connection IDs; what follows them is the caller's.
pub(crate) fn long(
    kind: u8,
    version: u32,
    destination_id: usize,
    source_id: usize,
    rest: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0xc0 | kind << 4];
    bytes.extend(version.to_be_bytes());
    bytes.push(destination_id as u8);
    bytes.extend(vec![7; destination_id]);
    bytes.push(source_id as u8);
    bytes.extend(vec![8; source_id]);
    bytes.extend(rest);
    bytes
}

/// An Initial that fills `size` bytes.
pub(crate) fn initial(size: usize) -> Vec<u8> {
    // Token of 0 bytes, length in 2 bytes.
    let head = long(0, 1, 8, 8, &[0, 0, 0]).len();
    let length = (size - head) as u16 | 0x4000;
    let mut bytes = long(0, 1, 8, 8, &[0]);
    bytes.extend(length.to_be_bytes());
    bytes.resize(size, 9);
    bytes
}

/// A short header, of `size` bytes.
pub(crate) fn short(size: usize) -> Vec<u8> {
    let mut bytes = vec![9; size];
    bytes[0] = 0x40;
    bytes
}
