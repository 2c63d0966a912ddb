//! TOKEN: an HMAC over data of this connection (wire format, section 12).
//!
//! ```text
//! type      8 bytes, 0xfe000001
//! form      1 byte: 1 message, 2 interval, 3 packet
//! sequence  varint; not in form 3
//! length    varint: bytes covered, which follow; not in form 3
//! tag       32 bytes; of form 3 the first 16 of them
//! ```

use bytes::BufMut;

use super::reader::{Reader, Stop, bounded};
use super::{FrameError, FrameType};
use crate::varint;

/// Bytes of a tag: HMAC-SHA-256.
pub const TAG_LEN: usize = 32;

/// Bytes of it that a packet has room for: half, the least that RFC 2104, section 5, leaves.
pub const PACKET_TAG_LEN: usize = TAG_LEN / 2;

/// Most bytes that a token on a stream covers.
pub const MAX_COVERED: u64 = 65_536;

/// Bytes of a token in a packet: a smaller reserve has none (T5).
pub const PACKET_TOKEN_LEN: usize = 8 + 1 + PACKET_TAG_LEN;

/// The label of the TLS exporter value that has the keys (RFC 8446, 7.5); its context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-STOQ-token";

/// Bytes of that exporter value: a key of 32 for each direction, the client's first.
pub const EXPORTER_LEN: usize = 64;

/// The first bytes of what a tag covers.
pub const LABEL: &[u8; 14] = b"STOQ token v1\0";

/// What a token covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenForm {
    /// What a sender wrote at once.
    Message,
    /// The same number of bytes each time.
    Interval,
    /// The packet it is in.
    Packet,
}

impl TokenForm {
    /// The value on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Interval => 2,
            Self::Packet => 3,
        }
    }
}

/// What a token on a stream covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamForm {
    /// What a sender wrote at once.
    Message,
    /// The same number of bytes each time.
    Interval,
}

impl StreamForm {
    /// Which of all forms it is.
    #[must_use]
    pub const fn of_all(self) -> TokenForm {
        match self {
            Self::Message => TokenForm::Message,
            Self::Interval => TokenForm::Interval,
        }
    }
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Forms 1 and 2.
    Stream(StreamToken),
    /// Form 3.
    Packet(PacketToken),
}

/// A token on a stream, before what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamToken {
    /// What it covers.
    pub form: StreamForm,
    /// Its number in this direction of the stream.
    pub sequence: u64,
    /// Bytes it covers.
    pub length: u64,
    /// HMAC-SHA-256.
    pub tag: [u8; TAG_LEN],
}

/// The token of the packet it is in, whose number and length the packet itself has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketToken {
    /// The first half of an HMAC-SHA-256.
    pub tag: [u8; PACKET_TAG_LEN],
}

const NAME: &str = FrameType::Token.name();

impl Token {
    /// What it covers.
    #[must_use]
    pub const fn form(&self) -> TokenForm {
        match self {
            Self::Stream(token) => token.form.of_all(),
            Self::Packet(_) => TokenForm::Packet,
        }
    }

    /// Writes all but the type.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let form = self.form().as_u8();
        match self {
            Self::Stream(token) => {
                bounded(NAME, "length", token.length, 1, MAX_COVERED)?;
                bounded(NAME, "sequence", token.sequence, 0, varint::MAX)?;
                out.put_u8(form);
                varint::write(token.sequence, out);
                varint::write(token.length, out);
                out.put_slice(&token.tag);
            }
            Self::Packet(token) => {
                out.put_u8(form);
                out.put_slice(&token.tag);
            }
        }
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let form = match reader.bounded_byte("form", 1, 3)? {
            1 => StreamForm::Message,
            2 => StreamForm::Interval,
            _ => {
                let tag = reader.array()?;
                return Ok(Self::Packet(PacketToken { tag }));
            }
        };
        Ok(Self::Stream(StreamToken {
            form,
            sequence: reader.varint()?,
            length: reader.bounded("length", 1, MAX_COVERED)?,
            tag: reader.array()?,
        }))
    }
}

impl PacketToken {
    /// The frame, whole.
    #[must_use]
    pub fn encode(&self) -> [u8; PACKET_TOKEN_LEN] {
        let mut encoded = [0; PACKET_TOKEN_LEN];
        let (head, tag) = encoded.split_at_mut(PACKET_TOKEN_LEN - PACKET_TAG_LEN);
        let mut rest = &mut *head;
        varint::write(FrameType::Token.as_u64(), &mut rest);
        rest.put_u8(TokenForm::Packet.as_u8());
        tag.copy_from_slice(&self.tag);
        encoded
    }
}
