//! The table of frames: code point, extension, and which carrier takes which form (E1).

use std::fmt;

use super::{FrameError, FrameType};
use crate::extension;

/// What brings a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The reserve at the end of a 1-RTT packet.
    Packet,
    /// A QUIC DATAGRAM frame (RFC 9221).
    Datagram,
    /// A stream.
    Stream,
}

impl Carrier {
    /// All carriers.
    pub const ALL: [Self; 3] = [Self::Packet, Self::Datagram, Self::Stream];
}

impl fmt::Display for Carrier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Packet => "packet",
            Self::Datagram => "datagram",
            Self::Stream => "stream",
        })
    }
}

/// One form of a frame.
struct Row {
    frame: FrameType,
    form: u8,
    /// The extension that has to be in use: one of these bits.
    extension: u64,
    carriers: &'static [Carrier],
}

const fn row(frame: FrameType, form: u8, extension: u64, carriers: &'static [Carrier]) -> Row {
    Row {
        frame,
        form,
        extension,
        carriers,
    }
}

const PACKET: &[Carrier] = &[Carrier::Packet];
const STREAM: &[Carrier] = &[Carrier::Stream];
const BOTH: &[Carrier] = &[Carrier::Datagram, Carrier::Stream];

/// Where signatures of routes may come.
const ROUTE_SIGNATURES: u64 = extension::SIGNATURES | extension::SIGNED_ROUTES;

/// Every form of every frame. A form that is not here is not defined.
const TABLE: &[Row] = &[
    row(FrameType::Token, 1, extension::STREAM_TOKENS, STREAM),
    row(FrameType::Token, 2, extension::STREAM_TOKENS, STREAM),
    row(FrameType::Token, 3, extension::PACKET_TOKENS, PACKET),
    row(FrameType::Shard, 0, extension::SHARDS, STREAM),
    row(FrameType::Shard, 1, extension::SHARDS, BOTH),
    row(FrameType::Shard, 2, extension::SHARDS, BOTH),
    row(FrameType::Shard, 3, extension::SHARDS, STREAM),
    row(FrameType::Hop, 0, extension::HOPS, STREAM),
    row(FrameType::Hop, 1, extension::HOPS, BOTH),
    row(FrameType::Hop, 2, extension::SIGNED_ROUTES, STREAM),
    row(FrameType::Hop, 3, extension::FORWARDED, STREAM),
    row(FrameType::Hop, 4, extension::FORWARDED, STREAM),
    row(FrameType::Hop, 5, extension::FORWARDED, STREAM),
    row(FrameType::Seed, 1, extension::SEEDS, STREAM),
    row(FrameType::Seed, 2, extension::SEEDS, STREAM),
    row(FrameType::Signature, 1, extension::SIGNATURES, STREAM),
    row(FrameType::Signature, 2, ROUTE_SIGNATURES, STREAM),
    row(FrameType::Signature, 3, extension::SIGNATURES, STREAM),
    row(FrameType::Signature, 4, extension::SIGNATURES, STREAM),
    row(FrameType::Key, 0, extension::SIGNATURES, STREAM),
    row(FrameType::Key, 1, extension::SIGNATURES, STREAM),
    row(FrameType::Key, 2, extension::SIGNATURES, STREAM),
    row(FrameType::Key, 3, extension::SIGNATURES, STREAM),
];

/// Whether a form of a frame may come in `carrier` where `extensions` are in use.
///
/// # Errors
/// [`FrameError::Carrier`] and [`FrameError::NotInUse`].
pub fn admit(
    frame: FrameType,
    form: u8,
    carrier: Carrier,
    extensions: u64,
) -> Result<(), FrameError> {
    let name = frame.name();
    let found = TABLE
        .iter()
        .find(|row| row.frame == frame && row.form == form);
    match found {
        Some(row) if row.carriers.contains(&carrier) => {
            if extensions & row.extension == 0 {
                return Err(FrameError::NotInUse { frame: name, form });
            }
            Ok(())
        }
        _ => Err(FrameError::Carrier {
            frame: name,
            form,
            carrier,
        }),
    }
}

/// Whether any extension is in use whose frames a stream of kind 3 carries (S5).
#[must_use]
pub fn takes_streams(extensions: u64) -> bool {
    TABLE.iter().any(|row| {
        row.frame != FrameType::Token
            && row.carriers.contains(&Carrier::Stream)
            && extensions & row.extension != 0
    })
}
