//! Objects that came whole and are kept for peers that ask for them (D15).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use stoq_core::spiffe::SpiffeId;
use stoq_wire::frame::Frame;
use stoq_wire::frame::shard::{Manifest, Range, Shard, ShardBody, TransferId};

use super::Proof;

/// What is counted for each shard beside its bytes.
const OVERHEAD: usize = 128;

/// What is counted for who signed an object: a certificate, mostly.
const PROOF: usize = 8192;

/// Bounded by bytes: what came first makes room.
#[derive(Debug, Default)]
pub(super) struct Held {
    most: usize,
    cost: usize,
    /// Who may ask; empty: everyone.
    askers: Vec<SpiffeId>,
    objects: VecDeque<Arc<HeldObject>>,
    /// Of transfers that are under way, with who signed them.
    manifests: HashMap<TransferId, (Manifest, Option<Arc<Proof>>)>,
}

impl Held {
    /// From now on up to so many bytes are kept, for these; none at 0.
    pub(super) fn configure(&mut self, most: usize, askers: Vec<SpiffeId>) {
        (self.most, self.askers) = (most, askers);
        self.make_room(0);
    }

    /// A transfer has begun.
    pub(super) fn began(
        &mut self,
        transfer: TransferId,
        manifest: &Manifest,
        proof: Option<&Arc<Proof>>,
    ) {
        if self.most > 0 {
            let begun = (manifest.clone(), proof.cloned());
            self.manifests.insert(transfer, begun);
        }
    }

    /// A transfer will not become whole.
    pub(super) fn failed(&mut self, transfer: TransferId) {
        self.manifests.remove(&transfer);
    }

    /// An object has come whole.
    pub(super) fn put(&mut self, transfer: TransferId, shards: &[Bytes]) {
        let Some((manifest, proof)) = self.manifests.remove(&transfer) else {
            return;
        };
        let object = HeldObject {
            transfer,
            proof,
            manifest,
            shards: shards.to_vec(),
        };
        let cost = object.cost();
        if cost <= self.most {
            self.make_room(cost);
            self.cost += cost;
            self.objects.push_back(Arc::new(object));
        }
    }

    /// The object, if it is here and `asker` may have it.
    pub(super) fn get(&self, transfer: TransferId, asker: &SpiffeId) -> Option<Arc<HeldObject>> {
        let may = self.askers.is_empty() || self.askers.contains(asker);
        let mut found = self.objects.iter().filter(|_| may);
        found.find(|object| object.transfer == transfer).cloned()
    }

    fn make_room(&mut self, cost: usize) {
        while self.cost + cost > self.most
            && let Some(first) = self.objects.pop_front()
        {
            self.cost -= first.cost();
        }
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct HeldObject {
    transfer: TransferId,
    proof: Option<Arc<Proof>>,
    manifest: Manifest,
    shards: Vec<Bytes>,
}

impl HeldObject {
    fn cost(&self) -> usize {
        let shards: usize = self.shards.iter().map(|shard| shard.len() + OVERHEAD).sum();
        shards + OVERHEAD + self.proof.as_ref().map_or(0, |_| PROOF)
    }

    /// Answers a want; with who signed it if that proof still `stands`. Of one that does not nothing is
    /// said: whoever asked would count it against us.
    pub(crate) fn answer(
        self: Arc<Self>,
        ranges: &[Range],
        stands: &dyn Fn(&Proof) -> bool,
    ) -> Answer {
        let each = self.manifest.shard_size;
        let touched = |index: &usize| {
            let begin = *index as u64 * each;
            let end = begin + self.shards[*index].len() as u64;
            ranges
                .iter()
                .any(|range| range.offset < end && begin < range.offset + range.length)
        };
        let shards = (0..self.shards.len()).filter(touched).collect();
        let proof = self.proof.as_deref().filter(|proof| stands(proof));
        let proof = proof.and_then(Proof::frames);
        Answer {
            object: self,
            proof,
            begun: false,
            shards,
        }
    }
}

/// What is still to be said to somebody who asked: the manifest, and the shards of what he misses.
#[derive(Debug)]
pub(crate) struct Answer {
    object: Arc<HeldObject>,
    /// What goes before the manifest.
    proof: Option<Bytes>,
    begun: bool,
    shards: VecDeque<usize>,
}

impl Answer {
    /// The next frame; none when all was said.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if let Some(proof) = self.proof.take() {
            return Some(proof);
        }
        let body = if self.begun {
            let index = self.shards.pop_front()?;
            ShardBody::Object {
                offset: index as u64 * self.object.manifest.shard_size,
                data: self.object.shards[index].clone(),
            }
        } else {
            self.begun = true;
            ShardBody::Manifest(self.object.manifest.clone())
        };
        let transfer = self.object.transfer;
        let mut encoded = Vec::new();
        let written = Frame::Shard(Shard { transfer, body }).encode(&mut encoded);
        debug_assert!(written.is_ok(), "it came in frames like these");
        Some(encoded.into())
    }
}

#[cfg(test)]
mod tests {
    use stoq_frames::shard::manifest;

    use super::*;

    fn id(account: &str) -> SpiffeId {
        SpiffeId::parse(&format!("spiffe://mesh.test/ns/shop/sa/{account}")).unwrap()
    }

    /// Puts an object of 25 bytes in shards of 10.
    fn put(held: &mut Held, number: u8) {
        let (transfer, object) = (TransferId([number; 16]), [number; 25]);
        held.began(transfer, &manifest(&object, 10).unwrap(), None);
        let shards: Vec<_> = object.chunks(10).map(Bytes::copy_from_slice).collect();
        held.put(transfer, &shards);
    }

    fn holds(held: &Held, number: u8) -> bool {
        held.get(TransferId([number; 16]), &id("web")).is_some()
    }

    fn said(held: &Held, ranges: &[Range]) -> Vec<Option<u64>> {
        let object = held.get(TransferId([1; 16]), &id("web")).unwrap();
        let mut answer = object.answer(ranges, &|_| true);
        let frames = std::iter::from_fn(|| answer.next());
        let offset = |frame: Bytes| match Frame::decode(&frame).unwrap().unwrap().0 {
            Frame::Shard(Shard {
                body: ShardBody::Object { offset, .. },
                ..
            }) => Some(offset),
            _ => None,
        };
        frames.map(offset).collect()
    }

    #[test]
    fn a_want_is_answered_with_the_manifest_and_the_shards_that_it_touches() {
        let mut held = Held::default();
        held.configure(10_000, Vec::new());
        put(&mut held, 1);
        let range = |offset, length| Range { offset, length };
        let all = (1 << 62) - 1;
        assert_eq!(
            said(&held, &[range(0, all)]),
            [None, Some(0), Some(10), Some(20)]
        );
        assert_eq!(said(&held, &[range(10, 10)]), [None, Some(10)]);
        assert_eq!(
            said(&held, &[range(5, 1), range(20, 5)]),
            [None, Some(0), Some(20)]
        );
        assert_eq!(said(&held, &[range(25, 5)]), [None]);
    }

    #[test]
    fn what_came_first_makes_room_and_what_is_too_large_is_not_kept() {
        let mut held = Held::default();
        held.configure(2 * (25 + 4 * OVERHEAD), Vec::new());
        (1..=3).for_each(|number| put(&mut held, number));
        assert!(!holds(&held, 1) && holds(&held, 2) && holds(&held, 3));
        held.configure(100, Vec::new());
        assert!(!holds(&held, 3), "less is kept from now on");
        put(&mut held, 4);
        assert!(!holds(&held, 4));
        assert_eq!(held.cost, 0);
    }

    #[test]
    fn nothing_is_kept_before_somebody_says_so_nor_of_a_transfer_that_failed() {
        let mut held = Held::default();
        put(&mut held, 1);
        assert!(!holds(&held, 1) && held.manifests.is_empty());
        held.configure(10_000, Vec::new());
        held.began(TransferId([2; 16]), &manifest(b"2", 10).unwrap(), None);
        held.failed(TransferId([2; 16]));
        assert!(held.manifests.is_empty());
    }

    #[test]
    fn who_may_not_ask_has_nothing() {
        let mut held = Held::default();
        held.configure(10_000, vec![id("db")]);
        put(&mut held, 1);
        assert!(!holds(&held, 1));
        assert!(held.get(TransferId([1; 16]), &id("db")).is_some());
    }
}
