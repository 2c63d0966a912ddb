//! All transfers that come to this endpoint: bounded, with an end for each (D8 to D12).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stoq_wire::frame::shard::{MAX_RANGES, Manifest, Range, Shard, ShardBody, TransferId};

use super::Refusal;
use super::bulk::{Bulk, Put};
use super::object::Object;

/// What is counted for a shard beside its bytes.
pub(super) const SHARD_COST: usize = 128;

/// The bounds of a [`Store`].
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

/// A part of the bounds of a [`Store`].
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

#[derive(Debug)]
struct Transfer {
    owner: String,
    /// Everyone may bring shards: they are in a signed manifest.
    shared: bool,
    parts: Parts,
    cost: usize,
    began: Instant,
    progress: Instant,
}

#[derive(Debug)]
enum Parts {
    Object(Object),
    Bulk(Bulk),
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
        if let Some(transfer) = self.open.remove(&id) {
            self.cost -= transfer.cost;
            self.ended.push_back((id, whole));
            if self.ended.len() > self.limits.remembered {
                self.ended.pop_front();
            }
        }
    }

    const fn repetition(&mut self) -> Outcome {
        self.repeated += 1;
        Outcome::Repeated
    }
}

impl Transfer {
    fn take(
        &mut self,
        body: ShardBody,
        begins: bool,
        room: usize,
        now: Instant,
    ) -> Result<Outcome, Refusal> {
        let outcome = match (&mut self.parts, body) {
            (Parts::Object(object), ShardBody::Manifest(manifest)) => {
                if object.manifest != manifest {
                    return Err(Refusal::Contradiction);
                }
                finish_object(object, begins)?
            }
            (Parts::Object(object), ShardBody::Object { offset, data }) => {
                let new = object.put(offset, data)?;
                finish_object(object, new)?
            }
            (Parts::Bulk(bulk), ShardBody::Manifest(manifest)) => {
                if manifest.shard_size > 0 {
                    return Err(Refusal::Contradiction);
                }
                match &bulk.manifest {
                    Some(known) if *known == manifest => return Ok(Outcome::Repeated),
                    Some(_) => return Err(Refusal::Contradiction),
                    None => bulk.end(manifest)?,
                }
                Outcome::Taken {
                    ready: Vec::new(),
                    whole: bulk.is_whole()?,
                }
            }
            (
                Parts::Bulk(bulk),
                ShardBody::Bulk {
                    offset,
                    digest,
                    data,
                },
            ) => {
                let ready = match bulk.put(offset, digest, data, room)? {
                    Put::Due(ready) => ready,
                    Put::Kept => Vec::new(),
                    Put::Repeated => return Ok(Outcome::Repeated),
                    Put::NoRoom => return Ok(Outcome::Wait),
                };
                self.cost = SHARD_COST + bulk.cost;
                Outcome::Taken {
                    ready,
                    whole: bulk.is_whole()?,
                }
            }
            _ => return Err(Refusal::Contradiction),
        };
        if matches!(outcome, Outcome::Taken { .. }) {
            self.progress = now;
        }
        Ok(outcome)
    }

    fn ends(&self, limits: &Limits) -> Instant {
        (self.progress + limits.idle).min(self.began + limits.lifetime)
    }
}

/// What an object's room costs: its bytes, its digests, and each shard.
fn object_cost(manifest: &Manifest) -> usize {
    // A size beyond what an address has is far beyond the limit, too.
    let size = usize::try_from(manifest.size).unwrap_or(usize::MAX);
    size.saturating_add((manifest.digests.len() + 1) * (SHARD_COST + 32))
}

/// What can be handed on of an object, after something `new` or not came.
fn finish_object(object: &mut Object, new: bool) -> Result<Outcome, Refusal> {
    match object.whole()? {
        Some(ready) => Ok(Outcome::Taken { ready, whole: true }),
        None if new => Ok(Outcome::Taken {
            ready: Vec::new(),
            whole: false,
        }),
        None => Ok(Outcome::Repeated),
    }
}
