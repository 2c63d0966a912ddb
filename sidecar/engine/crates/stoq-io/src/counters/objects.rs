//! What is counted of objects and their shards.

use super::{Counters, add};

impl Counters {
    /// A peer has taken an object whole.
    pub fn object_sent(&self) {
        add(&self.values.objects_sent, 1);
    }

    /// An object came whole.
    pub fn object_received(&self) {
        add(&self.values.objects_received, 1);
    }

    /// Transfers from peers took too long.
    pub fn objects_expired(&self, transfers: u64) {
        add(&self.values.objects_expired, transfers);
    }

    /// We signed an object.
    pub fn signature_made(&self) {
        add(&self.values.signatures_made, 1);
    }

    /// A peer's signature verified.
    pub fn signature_verified(&self) {
        add(&self.values.signatures_verified, 1);
    }

    /// A key or a signature of a peer was refused.
    pub fn signature_refused(&self) {
        add(&self.values.signatures_refused, 1);
    }

    /// A manifest or a shard was taken.
    pub fn shard_taken(&self) {
        add(&self.values.shards_taken, 1);
    }

    /// It was there already.
    pub fn shard_repeated(&self) {
        add(&self.values.shards_repeated, 1);
    }

    /// A shard in a datagram could not be kept.
    pub fn shard_dropped(&self) {
        add(&self.values.shards_dropped, 1);
    }
}
