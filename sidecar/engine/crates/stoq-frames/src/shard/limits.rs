//! What a store may keep (D9, D10).

use std::time::Duration;

/// What is counted for a shard beside its bytes.
pub(super) const SHARD_COST: usize = 128;

/// The bounds of a [`Store`](super::Store).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that are kept, of all transfers together, with 128 more for each shard.
    pub bytes: usize,
    /// Transfers at once.
    pub transfers: usize,
    /// What a single identity may have of the two.
    pub each: Share,
    /// Bytes of an object.
    pub object: u64,
    /// How long a transfer may bring nothing new.
    pub idle: Duration,
    /// How long a transfer may take.
    pub lifetime: Duration,
    /// Transfers that ended and are remembered.
    pub remembered: usize,
}

/// A part of the bounds of a [`Store`](super::Store).
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Bytes, counted as in [`Limits`].
    pub bytes: usize,
    /// Transfers at once.
    pub transfers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            transfers: 64,
            each: Share {
                bytes: 12 << 20,
                transfers: 16,
            },
            object: 8 << 20,
            idle: Duration::from_secs(10),
            lifetime: Duration::from_secs(300),
            remembered: 1024,
        }
    }
}
