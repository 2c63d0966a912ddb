//! All transfers that come to this endpoint: bounded, with an end for each (D8 to D12).

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use stoq_wire::frame::shard::{MAX_RANGES, Range, Shard, ShardBody, TransferId};

use super::bulk::Bulk;
use super::object::Object;
use super::transfer::{Parts, Transfer, object_cost};
use super::{Limits, Refusal, SHARD_COST};

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken. `ready` is what can be handed on: of a bulk transfer in order, of an object
    /// all of it at once; `whole` when that is the end.
    Taken {
        /// Bytes that are verified.
        ready: Vec<Bytes>,
        /// The transfer is complete.
        whole: bool,
    },
    /// It was there already, or its transfer has ended: drop it.
    Repeated,
    /// There is no room, or the manifest is not there yet. On a stream, keep the frame and read no
    /// further until something else was taken or dropped; drop a datagram.
    Wait,
}

/// The transfers that are under way.
#[derive(Debug)]
pub struct Store {
    limits: Limits,
    open: HashMap<TransferId, Transfer>,
    /// Those that ended, and whether they were whole; the oldest first.
    ended: VecDeque<(TransferId, bool)>,
    /// What all transfers cost.
    cost: usize,
    /// Repetitions that were dropped.
    pub repeated: u64,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let (open, ended) = (HashMap::new(), VecDeque::new());
        Self {
            limits,
            open,
            ended,
            cost: 0,
            repeated: 0,
        }
    }

    /// Takes a frame that came from the identity `from`; a want is not for the store.
    ///
    /// # Errors
    /// [`Refusal`]: reset the stream with its code, or drop and count the datagram.
    pub fn take(&mut self, from: &str, shard: Shard, now: Instant) -> Result<Outcome, Refusal> {
        let id = shard.transfer;
        let begins = !self.open.contains_key(&id);
        if begins {
            if self.has_ended(id).is_some() {
                return Ok(self.repetition());
            }
            let Some(transfer) = self.begin(from, &shard, now)? else {
                return Ok(Outcome::Wait);
            };
            self.cost += transfer.cost;
            self.open.insert(id, transfer);
        }
        let room = self.room(from);
        let Some(transfer) = self.open.get_mut(&id) else {
            return Ok(Outcome::Wait);
        };
        if transfer.owner != from && !transfer.shared {
            return Err(Refusal::NotTheirs);
        }
        let before = transfer.cost;
        let taken = transfer.take(shard.body, begins, room, now);
        self.cost = self.cost - before + transfer.cost;
        match taken {
            Ok(Outcome::Repeated) => return Ok(self.repetition()),
            Ok(Outcome::Taken { whole: true, .. }) => self.end(id, true),
            Err(refusal) if refusal.is_fatal() => self.end(id, false),
            // Nothing was taken: it has not begun.
            Ok(Outcome::Wait) | Err(_) if begins => self.forget(id),
            _ => {}
        }
        taken
    }

    /// From now on everyone may bring shards of an object: its manifest is signed (D12).
    pub fn share(&mut self, id: TransferId) {
        if let Some(transfer) = self.open.get_mut(&id) {
            transfer.shared = true;
        }
    }

    /// Whether a transfer is under way, or is remembered to have ended.
    #[must_use]
    pub fn knows(&self, id: TransferId) -> bool {
        self.open.contains_key(&id) || self.has_ended(id).is_some()
    }

    /// Whether a transfer is under way.
    #[must_use]
    pub fn is_open(&self, id: TransferId) -> bool {
        self.open.contains_key(&id)
    }

    /// A transfer that has failed may begin again: it is asked for.
    pub fn again(&mut self, id: TransferId) {
        self.ended.retain(|(ended, whole)| *ended != id || *whole);
    }

    /// What has come whole is not to be had, after all: as if it had failed.
    pub fn spoil(&mut self, id: TransferId) {
        for (_, whole) in self.ended.iter_mut().filter(|(ended, _)| *ended == id) {
            *whole = false;
        }
    }

    /// Drops what there is of a transfer, which may begin again.
    pub fn drop_unfinished(&mut self, id: TransferId) {
        self.forget(id);
    }

    /// What is missing of a transfer, for a want (D11); `None` if it is not known or has failed.
    #[must_use]
    pub fn missing(&self, id: TransferId) -> Option<Vec<Range>> {
        if let Some(transfer) = self.open.get(&id) {
            return Some(match &transfer.parts {
                Parts::Object(object) => object.missing(MAX_RANGES),
                Parts::Bulk(bulk) => bulk.missing(MAX_RANGES),
            });
        }
        self.has_ended(id)?.then(Vec::new)
    }

    /// Drops what took too long (D10): reset its streams with `incomplete`.
    pub fn expire(&mut self, now: Instant) -> Vec<TransferId> {
        let due = |transfer: &Transfer| transfer.ends(&self.limits) <= now;
        let late: Vec<_> = self
            .open
            .iter()
            .filter(|(_, transfer)| due(transfer))
            .map(|(id, _)| *id)
            .collect();
        for id in &late {
            self.end(*id, false);
        }
        late
    }

    /// When [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.open
            .values()
            .map(|transfer| transfer.ends(&self.limits))
            .min()
    }

    /// What is kept costs so many bytes: never more than the limit.
    #[must_use]
    pub const fn cost(&self) -> usize {
        self.cost
    }

    fn begin(&self, from: &str, shard: &Shard, now: Instant) -> Result<Option<Transfer>, Refusal> {
        let parts = match &shard.body {
            ShardBody::Manifest(manifest) if manifest.shard_size > 0 => {
                let (size, most) = (manifest.size, self.limits.object);
                let room = self.limits.bytes.min(self.limits.each.bytes);
                if size > most || object_cost(manifest) > room {
                    return Err(Refusal::TooLarge { size, most });
                }
                Parts::Object(Object::new(manifest.clone()))
            }
            ShardBody::Manifest(_) | ShardBody::Bulk { .. } => Parts::Bulk(Bulk::default()),
            ShardBody::Object { .. } | ShardBody::Want(_) => return Ok(None),
        };
        // The room for an object is set aside as a whole: two that are half there would wait for
        // each other for ever.
        let cost = match &parts {
            Parts::Object(object) => object_cost(&object.manifest),
            Parts::Bulk(_) => SHARD_COST,
        };
        let theirs = self
            .open
            .values()
            .filter(|transfer| transfer.owner == from)
            .count();
        let full = self.open.len() >= self.limits.transfers || theirs >= self.limits.each.transfers;
        if full || cost > self.room(from) {
            return Ok(None);
        }
        let owner = from.to_owned();
        Ok(Some(Transfer {
            owner,
            shared: false,
            parts,
            cost,
            began: now,
            progress: now,
        }))
    }

    /// What may still be kept for an identity.
    fn room(&self, from: &str) -> usize {
        let theirs = self.open.values().filter(|transfer| transfer.owner == from);
        let cost: usize = theirs.map(|transfer| transfer.cost).sum();
        let each = self.limits.each.bytes.saturating_sub(cost);
        self.limits.bytes.saturating_sub(self.cost).min(each)
    }

    fn has_ended(&self, id: TransferId) -> Option<bool> {
        self.ended
            .iter()
            .find(|(ended, _)| *ended == id)
            .map(|(_, whole)| *whole)
    }

    fn end(&mut self, id: TransferId, whole: bool) {
        self.forget(id);
        self.ended.push_back((id, whole));
        if self.ended.len() > self.limits.remembered {
            self.ended.pop_front();
        }
    }

    fn forget(&mut self, id: TransferId) {
        if let Some(transfer) = self.open.remove(&id) {
            self.cost -= transfer.cost;
        }
    }

    const fn repetition(&mut self) -> Outcome {
        self.repeated += 1;
        Outcome::Repeated
    }
}
