//! The frames that STOQ adds to QUIC (wire format, sections 11 to 16).
//!
//! | file | frame |
//! |---|---|
//! | [`token`] | an HMAC over data of the connection |
//! | [`shard`] | a part of a transfer |
//! | [`hop`] | a route over gateways |
//! | [`beside`] | what agrees on packets beside it |
//! | [`seed`] | the head of a mirror |
//! | [`signature`] | a FALCON signature |
//! | [`key`] | a FALCON key |
//! | [`carrier`] | the table: which carrier takes which form, and with which extension |

use bytes::Bytes;

use crate::varint;
use reader::{Reader, Stop};

pub mod beside;
pub mod carrier;
mod error;
pub mod hop;
pub mod key;
mod reader;
pub mod seed;
pub mod shard;
pub mod signature;
pub mod token;

pub use error::FrameError;
pub use reader::MAX_IDENTITY_LEN;

/// The longest frame in bytes: bulk data. A carrier that has as many and no whole frame has none.
pub const MAX_FRAME_LEN: usize = 8 + 1 + 16 + 8 + 32 + 8 + shard::MAX_SHARD_LEN as usize;

/// The code point of the first frame; the others follow it.
const BASE: u64 = 0xfe00_0001;

/// The code points of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameType {
    /// 0xfe000001.
    Token,
    /// 0xfe000002.
    Shard,
    /// 0xfe000003.
    Hop,
    /// 0xfe000004.
    Seed,
    /// 0xfe000005.
    Signature,
    /// 0xfe000006.
    Key,
}

impl FrameType {
    /// All types, in order of their code points.
    pub const ALL: [Self; 6] = [
        Self::Token,
        Self::Shard,
        Self::Hop,
        Self::Seed,
        Self::Signature,
        Self::Key,
    ];

    /// The value on the wire.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        BASE + self as u64
    }

    /// The name in the wire format and in errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "TOKEN",
            Self::Shard => "SHARD",
            Self::Hop => "HOP",
            Self::Seed => "SEED",
            Self::Signature => "FALCON_SIGNATURE",
            Self::Key => "FALCON_KEY",
        }
    }

    fn from_u64(value: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_u64() == value)
    }
}

/// A frame of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// TOKEN.
    Token(token::Token),
    /// SHARD.
    Shard(shard::Shard),
    /// HOP.
    Hop(hop::Hop),
    /// SEED.
    Seed(seed::Seed),
    /// FALCON_SIGNATURE.
    Signature(signature::Signature),
    /// FALCON_KEY.
    Key(key::Key),
}

impl Frame {
    /// Its code point.
    #[must_use]
    pub const fn kind(&self) -> FrameType {
        match self {
            Self::Token(_) => FrameType::Token,
            Self::Shard(_) => FrameType::Shard,
            Self::Hop(_) => FrameType::Hop,
            Self::Seed(_) => FrameType::Seed,
            Self::Signature(_) => FrameType::Signature,
            Self::Key(_) => FrameType::Key,
        }
    }

    /// Its form: the byte after the type.
    #[must_use]
    pub const fn form(&self) -> u8 {
        match self {
            Self::Token(token) => token.form().as_u8(),
            Self::Shard(shard) => shard.form(),
            Self::Hop(hop) => hop.form(),
            Self::Seed(seed) => seed.form(),
            Self::Signature(signature) => signature.subject.as_u8(),
            Self::Key(key) => key.form(),
        }
    }

    /// Appends the frame to `out`: at most [`MAX_FRAME_LEN`] bytes.
    ///
    /// # Errors
    /// [`FrameError`] for a field that a receiver would refuse; `out` is as it was then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let before = out.len();
        varint::write(self.kind().as_u64(), out);
        let written = match self {
            Self::Token(token) => token.write(out),
            Self::Shard(shard) => shard.write(out),
            Self::Hop(hop) => hop.write(out),
            Self::Seed(seed) => seed.write(out),
            Self::Signature(signature) => signature.write(out),
            Self::Key(key) => key.write(out),
        };
        written.inspect_err(|_| out.truncate(before))
    }

    /// Reads a frame off the front of `input`, with a copy of its data.
    ///
    /// Returns the frame and how many bytes it took; `None` when more bytes are needed, which is
    /// never the case at [`MAX_FRAME_LEN`] bytes.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes so far can no longer become a frame (E2).
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        finish(Self::read(&mut Reader::new(input, None)), input)
    }

    /// The same, and the frame's data shares the buffer.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_shared(input: &Bytes) -> Result<Option<(Self, usize)>, FrameError> {
        finish(Self::read(&mut Reader::new(input, Some(input))), input)
    }

    fn read(reader: &mut Reader<'_>) -> Result<(Self, usize), Stop> {
        let before = reader.left();
        let value = reader.varint()?;
        if before - reader.left() != varint::size(value) {
            return Err(FrameError::LongType(value).into());
        }
        let kind = FrameType::from_u64(value).ok_or(FrameError::Type(value))?;
        reader.frame = kind.name();
        let frame = match kind {
            FrameType::Token => Self::Token(token::Token::read(reader)?),
            FrameType::Shard => Self::Shard(shard::Shard::read(reader)?),
            FrameType::Hop => Self::Hop(hop::Hop::read(reader)?),
            FrameType::Seed => Self::Seed(seed::Seed::read(reader)?),
            FrameType::Signature => Self::Signature(signature::Signature::read(reader)?),
            FrameType::Key => Self::Key(key::Key::read(reader)?),
        };
        Ok((frame, reader.left()))
    }
}

/// What was read, and how many bytes of `input` it took.
fn finish(
    read: Result<(Frame, usize), Stop>,
    input: &[u8],
) -> Result<Option<(Frame, usize)>, FrameError> {
    match read {
        Ok((frame, left)) => Ok(Some((frame, input.len() - left))),
        Err(Stop::Short) => Ok(None),
        Err(Stop::Wrong(error)) => Err(error),
    }
}
