//! One transfer that comes in, of either kind.

use std::time::Instant;

use stoq_wire::frame::shard::{Manifest, ShardBody};

use super::bulk::{Bulk, Put};
use super::object::Object;
use super::{Limits, Outcome, Refusal, SHARD_COST};

/// What there is of a transfer, and since when.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) owner: String,
    /// Everyone may bring shards: they are in a signed manifest.
    pub(super) shared: bool,
    pub(super) parts: Parts,
    pub(super) cost: usize,
    pub(super) began: Instant,
    pub(super) progress: Instant,
}

/// What there is of its data.
#[derive(Debug)]
pub(super) enum Parts {
    Object(Object),
    Bulk(Bulk),
}

impl Transfer {
    /// Takes a frame of it; `begins`: it is the first.
    pub(super) fn take(
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
                let new = object.put(offset, &data)?;
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

    /// When it is dropped.
    pub(super) fn ends(&self, limits: &Limits) -> Instant {
        (self.progress + limits.idle).min(self.began + limits.lifetime)
    }
}

/// What an object's room costs: its bytes, its digests, and each shard.
pub(super) fn object_cost(manifest: &Manifest) -> usize {
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
