//! The stream head: the first bytes of every STOQ stream.
//!
//! It says what the stream is for, which flow it carries and between which
//! addresses, so that a receiver can forward it and a successor can resume it:
//!
//! ```text
//! version      1 byte, 1
//! kind         1 byte, see StreamKind
//! flags        1 byte, bit 0: resume; bit 1: tokens, where they are in use; the others are 0
//! flow id      16 bytes
//! sent         varint, bytes of this flow already sent by the opener
//! received     varint, bytes of this flow already received by the opener
//! source       address
//! destination  address
//!
//! address      family 1 byte (4 or 6), port 2 bytes, 4 or 16 bytes of address
//! ```

use std::net::SocketAddr;

use bytes::{Buf, BufMut};

use crate::{address, varint};

/// The version this crate writes, and the only one it reads.
pub const VERSION: u8 = 1;

/// The longest head in bytes: two IPv6 addresses and two 8-byte offsets.
pub const MAX_HEAD_LEN: usize = 3 + 16 + 8 + 8 + 19 + 19;

/// Flag bit 0: the opener asks to resume the flow at the given offsets.
const RESUME: u8 = 0x01;

/// Flag bit 1: both directions are tokens and what they cover (T2).
const TOKENS: u8 = 0x02;

/// Names one relayed flow across connections and restarts. Random, 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowId(pub [u8; 16]);

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// The bytes of a captured TCP connection.
    Tcp,
    /// Calls of the API layer.
    Api,
    /// Frames of extensions: receivers that use none refuse it.
    Frames,
    /// Control of the connection itself.
    Control,
    /// A flow of captured UDP.
    Udp,
    /// A lane of a striped TCP flow.
    Lane,
}

impl StreamKind {
    const fn as_u8(self) -> u8 {
        match self {
            Self::Tcp => 1,
            Self::Api => 2,
            Self::Frames => 3,
            Self::Control => 4,
            Self::Udp => 5,
            Self::Lane => 6,
        }
    }

    const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Tcp),
            2 => Some(Self::Api),
            3 => Some(Self::Frames),
            4 => Some(Self::Control),
            5 => Some(Self::Udp),
            6 => Some(Self::Lane),
            _ => None,
        }
    }
}

/// The first bytes of a stream, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHead {
    /// What the stream is for.
    pub kind: StreamKind,
    /// Whether the opener continues a flow that another connection carried.
    pub resume: bool,
    /// Whether tokens follow, in both directions.
    pub tokens: bool,
    /// The flow.
    pub flow: FlowId,
    /// Bytes of the flow that the opener had sent before this stream.
    pub sent: u64,
    /// Bytes of the flow that the opener had received before this stream.
    pub received: u64,
    /// Who opened the flow, as the application's socket says.
    pub source: SocketAddr,
    /// Whom the application dialled.
    pub destination: SocketAddr,
}

/// Why bytes are not a stream head. The stream is reset with
/// [`StreamCode::BadHead`](crate::code::StreamCode::BadHead).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A version this endpoint does not speak.
    #[error("stream head version {0}; this endpoint speaks version {VERSION}")]
    Version(u8),
    /// A kind this endpoint does not know.
    #[error("stream kind {0} is not known")]
    Kind(u8),
    /// A flag that this version does not define.
    #[error("stream head flags {0:#04x} are not known")]
    Flags(u8),
    /// An address family other than 4 and 6.
    #[error("address family {0} is neither 4 nor 6")]
    Family(u8),
}

impl StreamHead {
    /// Appends the head to `out`: at most [`MAX_HEAD_LEN`] bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        out.put_u8(self.kind.as_u8());
        let flag = |set, bit| if set { bit } else { 0 };
        out.put_u8(flag(self.resume, RESUME) | flag(self.tokens, TOKENS));
        out.put_slice(&self.flow.0);
        varint::write(self.sent, out);
        varint::write(self.received, out);
        address::write(self.source, out);
        address::write(self.destination, out);
    }

    /// Reads a head off the front of `input`, on a connection where stream tokens are in use if
    /// `tokens` says so.
    ///
    /// Returns the head and how many bytes it took; `None` when more bytes are
    /// needed, which is never the case at [`MAX_HEAD_LEN`] bytes.
    ///
    /// # Errors
    /// [`HeadError`] as soon as the bytes so far can no longer become a head.
    pub fn decode(input: &[u8], tokens: bool) -> Result<Option<(Self, usize)>, HeadError> {
        let mut rest = input;
        match Self::take(&mut rest, tokens) {
            Ok(head) => Ok(Some((head, input.len() - rest.len()))),
            Err(Stop::Short) => Ok(None),
            Err(Stop::Wrong(error)) => Err(error),
        }
    }

    fn take(rest: &mut &[u8], tokens: bool) -> Result<Self, Stop> {
        let version = take_u8(rest)?;
        if version != VERSION {
            return Err(HeadError::Version(version).into());
        }
        let kind = take_u8(rest)?;
        let kind = StreamKind::from_u8(kind).ok_or(HeadError::Kind(kind))?;
        let flags = take_u8(rest)?;
        let known = match kind {
            StreamKind::Tcp if tokens => RESUME | TOKENS,
            _ => RESUME,
        };
        if flags & !known != 0 {
            return Err(HeadError::Flags(flags).into());
        }
        let mut flow = [0; 16];
        rest.try_copy_to_slice(&mut flow).map_err(|_| Stop::Short)?;
        Ok(Self {
            kind,
            resume: flags & RESUME != 0,
            tokens: flags & TOKENS != 0,
            flow: FlowId(flow),
            sent: varint::read(rest).map_err(|_| Stop::Short)?,
            received: varint::read(rest).map_err(|_| Stop::Short)?,
            source: take_address(rest)?,
            destination: take_address(rest)?,
        })
    }
}

/// Why decoding stopped: the input is too short so far, or it is wrong.
enum Stop {
    Short,
    Wrong(HeadError),
}

impl From<HeadError> for Stop {
    fn from(error: HeadError) -> Self {
        Self::Wrong(error)
    }
}

fn take_u8(rest: &mut &[u8]) -> Result<u8, Stop> {
    rest.try_get_u8().map_err(|_| Stop::Short)
}

fn take_address(rest: &mut &[u8]) -> Result<SocketAddr, Stop> {
    address::read(rest).map_err(|stop| match stop {
        address::Stop::Short => Stop::Short,
        address::Stop::Family(family) => HeadError::Family(family).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> StreamHead {
        StreamHead {
            kind: StreamKind::Tcp,
            resume: false,
            tokens: false,
            flow: FlowId([7; 16]),
            sent: 0,
            received: 0,
            source: "[fd00::1]:40000".parse().unwrap(),
            destination: "10.0.0.2:80".parse().unwrap(),
        }
    }

    fn encoded(head: &StreamHead) -> Vec<u8> {
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        bytes
    }

    #[test]
    fn every_cut_of_a_head_asks_for_more_bytes() {
        let bytes = encoded(&example());
        for length in 0..bytes.len() {
            assert_eq!(StreamHead::decode(&bytes[..length], false), Ok(None));
        }
    }

    #[test]
    fn bytes_after_the_head_are_left_to_the_stream() {
        let mut bytes = encoded(&example());
        let length = bytes.len();
        bytes.extend_from_slice(b"payload");
        assert_eq!(
            StreamHead::decode(&bytes, false),
            Ok(Some((example(), length)))
        );
    }

    #[test]
    fn the_longest_head_reaches_the_limit_exactly() {
        let longest = StreamHead {
            sent: varint::MAX,
            received: varint::MAX,
            destination: "[fd00::2]:80".parse().unwrap(),
            ..example()
        };
        assert_eq!(encoded(&longest).len(), MAX_HEAD_LEN);
    }

    #[test]
    fn a_head_of_another_version_is_refused_at_its_first_byte() {
        assert_eq!(StreamHead::decode(&[2], false), Err(HeadError::Version(2)));
    }

    #[test]
    fn unknown_kinds_flags_and_families_are_named_in_the_error() {
        assert_eq!(
            StreamHead::decode(&[VERSION, 9], false),
            Err(HeadError::Kind(9))
        );
        assert_eq!(
            StreamHead::decode(&[VERSION, 1, 0x82], true),
            Err(HeadError::Flags(0x82))
        );
        let mut bytes = encoded(&example());
        bytes[21] = 5;
        assert_eq!(StreamHead::decode(&bytes, true), Err(HeadError::Family(5)));
    }

    #[test]
    fn tokens_are_a_flag_of_tcp_flows_where_they_are_in_use_and_nowhere_else() {
        let head = StreamHead {
            tokens: true,
            ..example()
        };
        let mut bytes = encoded(&head);
        assert_eq!(
            StreamHead::decode(&bytes, true),
            Ok(Some((head, bytes.len())))
        );
        assert_eq!(StreamHead::decode(&bytes, false), Err(HeadError::Flags(2)));
        bytes[1] = StreamKind::Api.as_u8();
        assert_eq!(StreamHead::decode(&bytes, true), Err(HeadError::Flags(2)));
    }

    fn any_address() -> impl Strategy<Value = SocketAddr> {
        prop_oneof![
            any::<([u8; 4], u16)>().prop_map(|(ip, port)| (ip, port).into()),
            any::<([u8; 16], u16)>().prop_map(|(ip, port)| (ip, port).into()),
        ]
    }

    proptest! {
        #[test]
        fn encoding_round_trips(
            kind in (1u8..=6).prop_map(|k| StreamKind::from_u8(k).unwrap()),
            resume: bool,
            tokens: bool,
            flow: [u8; 16],
            sent in 0..=varint::MAX,
            received in 0..=varint::MAX,
            source in any_address(),
            destination in any_address(),
        ) {
            let flow = FlowId(flow);
            let tokens = tokens && kind == StreamKind::Tcp;
            let head = StreamHead { kind, resume, tokens, flow, sent, received, source, destination };
            let bytes = encoded(&head);
            prop_assert!(bytes.len() <= MAX_HEAD_LEN);
            prop_assert_eq!(StreamHead::decode(&bytes, tokens), Ok(Some((head, bytes.len()))));
        }

        #[test]
        fn any_bytes_are_decided_within_the_limit(bytes in proptest::collection::vec(any::<u8>(), MAX_HEAD_LEN)) {
            prop_assert_ne!(StreamHead::decode(&bytes, true), Ok(None));
        }
    }
}
