//! Packets that leave together: all of one length, but the last may be shorter.

use std::net::{IpAddr, SocketAddr};

use quinn_proto::Transmit;

/// Bytes that leave at once: the kernel's limit for a UDP payload, less headers.
const MOST: usize = 65_000;

/// What leaves in one send.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    length: usize,
    count: usize,
}

impl Batch {
    /// Whether a packet of so many bytes may join, where the kernel takes `most` at once.
    pub(super) fn takes(&self, length: usize, most: usize) -> bool {
        self.count == 0
            || self.bytes.len() == self.count * self.length
                && length <= self.length
                && self.bytes.len() + length <= MOST
                && self.count < most
    }

    /// Adds a packet, in parts. It must be one that the batch [`takes`](Self::takes).
    pub(super) fn put(&mut self, parts: &[&[u8]]) {
        let before = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        if self.count == 0 {
            self.length = self.bytes.len() - before;
        }
        self.count += 1;
    }

    /// Packets in it.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How it is sent; the bytes are those of [`bytes`](Self::bytes).
    pub(super) fn transmit(&self, destination: SocketAddr, src_ip: Option<IpAddr>) -> Transmit {
        Transmit {
            destination,
            ecn: None,
            size: self.bytes.len(),
            segment_size: (self.count > 1).then_some(self.length),
            src_ip,
        }
    }

    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Nothing is in it any more; the room for it is kept.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_one_length_leave_together_and_a_shorter_one_is_the_last() {
        let mut batch = Batch::default();
        assert!(batch.takes(9, 1));
        batch.put(&[b"1", b"23"]);
        assert!(batch.takes(3, 2) && !batch.takes(4, 2) && !batch.takes(3, 1));
        batch.put(&[b"45"]);
        assert!(!batch.takes(2, 9), "nothing after a shorter one");
        let to = "[fd00::1]:1".parse().unwrap();
        let transmit = batch.transmit(to, None);
        assert_eq!((transmit.size, transmit.segment_size), (5, Some(3)));
        assert_eq!(batch.bytes(), b"12345");
        batch.clear();
        assert_eq!(batch.count(), 0);
        batch.put(&[&[0; 64_000]]);
        assert!(!batch.takes(1001, 9));
        assert_eq!(batch.transmit(to, None).segment_size, None);
    }
}
