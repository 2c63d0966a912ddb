//! Objects that came whole and wait for the caller.

use std::collections::HashMap;

use stoq_core::spiffe::SpiffeId;
use stoq_frames::shard::Limits;

use super::ReceivedObject;
use crate::api::StreamToken;

/// What is counted for an object, and for each of its shards, beside its bytes: small and empty ones
/// must not wait in any number.
const OVERHEAD: usize = 128;

/// Bounded, in all and of one sender, by holding back what would begin: what is under way when a
/// bound is reached may still end here.
#[derive(Debug)]
pub(super) struct Inbox {
    objects: HashMap<StreamToken, ReceivedObject>,
    /// What they cost together, and those of each sender.
    cost: usize,
    theirs: HashMap<SpiffeId, usize>,
    most: usize,
    most_of_sender: usize,
    /// Somebody was held back since room was last announced.
    held_back: bool,
}

impl Inbox {
    /// With as much room as transfers under way have.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            objects: HashMap::new(),
            cost: 0,
            theirs: HashMap::new(),
            most: limits.bytes,
            most_of_sender: limits.each.bytes,
            held_back: false,
        }
    }

    /// Whether a transfer of `sender` may begin; if not, [`take`](Self::take) says when to ask again.
    pub(super) fn admits(&mut self, sender: &SpiffeId) -> bool {
        let theirs = self.theirs.get(sender).copied().unwrap_or(0);
        let admits = self.cost < self.most && theirs < self.most_of_sender;
        self.held_back |= !admits;
        admits
    }

    pub(super) fn put(&mut self, token: StreamToken, object: ReceivedObject) {
        let cost = cost(&object);
        self.cost += cost;
        *self.theirs.entry(object.sender.clone()).or_default() += cost;
        self.objects.insert(token, object);
    }

    /// The object of this token, and whether somebody who was held back may find room now.
    pub(super) fn take(&mut self, token: StreamToken) -> Option<(ReceivedObject, bool)> {
        let object = self.objects.remove(&token)?;
        let cost = cost(&object);
        self.cost -= cost;
        if let Some(theirs) = self.theirs.get_mut(&object.sender) {
            *theirs -= cost;
            if *theirs == 0 {
                self.theirs.remove(&object.sender);
            }
        }
        let room = self.held_back && self.cost < self.most;
        self.held_back &= !room;
        Some((object, room))
    }
}

fn cost(object: &ReceivedObject) -> usize {
    let pieces: usize = object.data.iter().map(|piece| piece.len() + OVERHEAD).sum();
    pieces + OVERHEAD
}
