//! Shards: how a transfer is cut, and whether it is whole (wire format, section 13).
//!
//! [`Store`] puts together what comes; [`cut`] and [`BulkWriter`] take apart what goes;
//! [`Lanes`] shares it out over connections.

use stoq_wire::code::StreamCode;

mod bulk;
mod lanes;
mod limits;
mod object;
mod split;
mod store;
mod transfer;

pub use lanes::Lanes;
pub use limits::{Limits, Share};
pub use split::{BulkWriter, cut, manifest};
pub use store::{Outcome, Store};

use limits::SHARD_COST;

/// Why a frame is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The data is not what its digest says.
    #[error("the shard at {0} is not what its digest says")]
    Corrupt(u64),
    /// An object's shard that the manifest does not have.
    #[error("the manifest has no shard of {length} bytes at {offset}")]
    NoShard {
        /// Where it begins.
        offset: u64,
        /// Bytes of it.
        length: u64,
    },
    /// A manifest, or a kind of data, that contradicts what is known.
    #[error("the transfer is another one by what is known of it")]
    Contradiction,
    /// Bulk data that overlaps other data, or an end.
    #[error("the data at {0} overlaps what is there")]
    Overlap(u64),
    /// Everything is there, and is not what the digest of the whole says.
    #[error("the whole is not what its digest says")]
    Whole,
    /// A manifest of more bytes than are taken.
    #[error("an object of {size} bytes: {most} are taken")]
    TooLarge {
        /// The manifest's size.
        size: u64,
        /// The limit.
        most: u64,
    },
    /// A transfer of somebody else.
    #[error("the transfer is of another identity")]
    NotTheirs,
}

impl Refusal {
    /// What the stream is reset with.
    #[must_use]
    pub const fn code(&self) -> StreamCode {
        match self {
            Self::TooLarge { .. } => StreamCode::TooLarge,
            Self::NotTheirs => StreamCode::Denied,
            _ => StreamCode::BadShard,
        }
    }

    /// Whether the transfer is given up because of it (D5 to D7).
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Overlap(_) | Self::Whole)
    }
}
