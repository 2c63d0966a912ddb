//! The layout of STOQ connection IDs.
//!
//! A sidecar's workers share one UDP port. The connection ID names the worker
//! that owns a connection, so that a packet-filter program can hand each
//! datagram to the right socket, and the generation of the process, so that a
//! successor after a restart knows that a connection is not its own:
//!
//! ```text
//! byte   0        1            2 .. 7
//!       [worker] [generation] [random]
//! ```
//!
//! The layout is fixed from the first release: a new process must be able to
//! read the connection IDs of an older one.

/// Length in bytes of every connection ID that STOQ issues (RFC 9000, 5.1).
pub const CID_LEN: usize = 8;

/// The parts of a connection ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionIdLayout {
    /// Index of the worker thread that owns the connection.
    pub worker: u8,
    /// Generation of the process, counted modulo 256 across planned restarts.
    pub generation: u8,
    /// Entropy; two connections of one worker differ here.
    pub random: [u8; CID_LEN - 2],
}

impl ConnectionIdLayout {
    /// The bytes that go on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; CID_LEN] {
        let mut bytes = [0; CID_LEN];
        bytes[0] = self.worker;
        bytes[1] = self.generation;
        bytes[2..].copy_from_slice(&self.random);
        bytes
    }

    /// Reads a connection ID; `None` when its length is not [`CID_LEN`].
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; CID_LEN] = bytes.try_into().ok()?;
        let [worker, generation, random @ ..] = *bytes;
        Some(Self {
            worker,
            generation,
            random,
        })
    }
}

/// Bit 7 of a QUIC packet's first byte: set on long headers (RFC 8999, 5.1).
const LONG_HEADER: u8 = 0x80;

/// Position of the destination connection ID's length in a long header.
const LONG_CID_LENGTH: usize = 5;

/// The byte of `datagram` that names the worker: the first byte of its first
/// packet's destination connection ID.
///
/// `None` when there is no such byte. The value is only a hint when the packet
/// is a client's first Initial, whose connection ID the client chose. The fixed
/// bit is not looked at: peers may grease it (RFC 9287).
#[must_use]
pub fn worker_of(datagram: &[u8]) -> Option<u8> {
    let first = *datagram.first()?;
    if first & LONG_HEADER == 0 {
        return datagram.get(1).copied();
    }
    match datagram.get(LONG_CID_LENGTH)? {
        0 => None,
        _ => datagram.get(LONG_CID_LENGTH + 1).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_worker_of_a_short_header_is_its_second_byte() {
        assert_eq!(worker_of(&[0x40, 3, 9, 9]), Some(3));
    }

    #[test]
    fn the_fixed_bit_does_not_matter() {
        assert_eq!(worker_of(&[0x00, 3]), Some(3));
    }

    #[test]
    fn the_worker_of_a_long_header_is_the_first_byte_of_its_connection_id() {
        assert_eq!(worker_of(&[0xc0, 0, 0, 0, 1, 8, 2, 0xaa]), Some(2));
    }

    #[test]
    fn a_long_header_without_a_connection_id_names_no_worker() {
        assert_eq!(worker_of(&[0xc0, 0, 0, 0, 1, 0, 8, 1]), None);
    }

    #[test]
    fn a_connection_id_of_another_length_is_not_ours() {
        assert_eq!(ConnectionIdLayout::decode(&[1; CID_LEN - 1]), None);
        assert_eq!(ConnectionIdLayout::decode(&[1; CID_LEN + 1]), None);
    }

    proptest! {
        #[test]
        fn encoding_round_trips(worker: u8, generation: u8, random: [u8; CID_LEN - 2]) {
            let layout = ConnectionIdLayout { worker, generation, random };
            prop_assert_eq!(ConnectionIdLayout::decode(&layout.encode()), Some(layout));
        }

        #[test]
        fn any_datagram_is_read_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(worker_of(&bytes).is_none() || bytes.len() > 1);
        }
    }
}
