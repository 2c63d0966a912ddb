//! TOKEN: an HMAC over data of this connection (wire format, section 12).
//!
//! ```text
//! type      8 bytes, 0xfe000001
//! form      1 byte: 1 message, 2 interval, 3 packet
//! sequence  varint; of form 3 the packet number
//! length    varint: bytes covered, which follow; of form 3 zero
//! tag       32 bytes
//! ```

use bytes::BufMut;

use super::reader::{Reader, Stop, bounded};
use super::{FrameError, FrameType};
use crate::varint;

/// Bytes of a tag: HMAC-SHA-256.
pub const TAG_LEN: usize = 32;

/// Most bytes that a token on a stream covers.
pub const MAX_COVERED: u64 = 65_536;

/// Bytes of the longest token in a packet: a smaller reserve has none (T5).
pub const PACKET_TOKEN_LEN: usize = 8 + 1 + 8 + 1 + TAG_LEN;

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

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it covers.
    pub form: TokenForm,
    /// Its number in this direction of the stream, or the packet's.
    pub sequence: u64,
    /// Bytes it covers on a stream; 0 in a packet.
    pub length: u64,
    /// HMAC-SHA-256.
    pub tag: [u8; TAG_LEN],
}

const NAME: &str = FrameType::Token.name();

/// The bounds of `length`.
const fn lengths(form: TokenForm) -> (u64, u64) {
    match form {
        TokenForm::Packet => (0, 0),
        TokenForm::Message | TokenForm::Interval => (1, MAX_COVERED),
    }
}

impl Token {
    /// Writes all but the type. Generic, because a packet has no vector to write to.
    pub(crate) fn write(&self, out: &mut impl BufMut) -> Result<(), FrameError> {
        let (least, most) = lengths(self.form);
        bounded(NAME, "length", self.length, least, most)?;
        bounded(NAME, "sequence", self.sequence, 0, varint::MAX)?;
        out.put_u8(self.form.as_u8());
        varint::write(self.sequence, out);
        varint::write(self.length, out);
        out.put_slice(&self.tag);
        Ok(())
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        let form = match reader.bounded_byte("form", 1, 3)? {
            1 => TokenForm::Message,
            2 => TokenForm::Interval,
            _ => TokenForm::Packet,
        };
        let sequence = reader.varint()?;
        let (least, most) = lengths(form);
        let length = reader.bounded("length", least, most)?;
        Ok(Self {
            form,
            sequence,
            length,
            tag: reader.array()?,
        })
    }
}
