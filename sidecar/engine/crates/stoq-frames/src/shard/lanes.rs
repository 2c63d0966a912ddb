//! Shares shards out over connections, and gives what a lost one had to the others.

use std::collections::{BTreeMap, VecDeque};

/// What is to be sent, and what each lane has in flight.
///
/// A lane asks when it has room, so a fast one gets more. Bounded by what the caller pushes.
#[derive(Debug)]
pub struct Lanes<T> {
    waiting: VecDeque<T>,
    flying: BTreeMap<u64, Vec<T>>,
    /// Most shards in flight on a lane.
    most: usize,
}

impl<T: Clone + PartialEq> Lanes<T> {
    /// Nothing to send; at most `most` in flight on each lane.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            flying: BTreeMap::new(),
            most,
        }
    }

    /// Something more to send.
    pub fn push(&mut self, shard: T) {
        self.waiting.push_back(shard);
    }

    /// What `lane` sends next; `None` when it has enough in flight or nothing waits.
    pub fn next(&mut self, lane: u64) -> Option<T> {
        let flying = self.flying.entry(lane).or_default();
        if flying.len() >= self.most {
            return None;
        }
        let shard = self.waiting.pop_front()?;
        flying.push(shard.clone());
        Some(shard)
    }

    /// The peer has it.
    pub fn arrived(&mut self, lane: u64, shard: &T) {
        if let Some(flying) = self.flying.get_mut(&lane) {
            flying.retain(|known| known != shard);
        }
    }

    /// The peer has everything but what `is_missing`, of what waits and of what is in flight.
    pub fn keep(&mut self, is_missing: impl Fn(&T) -> bool) {
        self.waiting.retain(&is_missing);
        for flying in self.flying.values_mut() {
            flying.retain(&is_missing);
        }
    }

    /// The connection is gone: what it had in flight goes first on the others.
    pub fn lost(&mut self, lane: u64) {
        for shard in self.flying.remove(&lane).into_iter().flatten().rev() {
            self.waiting.push_front(shard);
        }
    }

    /// Whether everything has arrived.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.flying.values().all(Vec::is_empty)
    }
}
