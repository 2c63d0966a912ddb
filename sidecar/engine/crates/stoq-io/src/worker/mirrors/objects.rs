//! Copies of objects: the manifest and all shards in order (M7), on one stream.
//!
//! The object is in memory already, and stays there for as long as one of its copies is sent: what is
//! bounded is how much that may be.

use std::time::Instant;

use bytes::Bytes;
use stoq_frames::seed::Next;
use stoq_wire::extension::{Negotiated, SHARDS};
use stoq_wire::frame::shard::TransferId;

use super::super::objects::shard_frame;
use super::super::{Flow, Worker};
use super::Mirror;
use crate::objects::ObjectMirror;

/// Bytes of objects that a worker keeps for copies: two of the largest that engines take unless they
/// are told otherwise.
const OBJECTS: usize = 16 << 20;

/// What of an object is still to be sent.
#[derive(Debug)]
pub(crate) struct ObjectCopy {
    transfer: TransferId,
    object: Bytes,
    shard_size: u64,
    /// Who signs the manifest, and that.
    proof: Option<Bytes>,
    manifest: Option<Bytes>,
    /// Shards that were sent.
    sent: u64,
}

impl ObjectCopy {
    fn new(mirror: ObjectMirror) -> Self {
        Self {
            transfer: mirror.transfer,
            object: mirror.object,
            shard_size: mirror.shard_size,
            proof: Some(mirror.proof).filter(|proof| !proof.is_empty()),
            manifest: Some(mirror.manifest),
            sent: 0,
        }
    }

    /// Bytes that it keeps.
    pub(super) fn len(&self) -> usize {
        self.object.len()
    }

    /// Whether its shards may go over a connection (D1).
    pub(super) fn fits(&self, agreed: Negotiated) -> bool {
        agreed.extensions & SHARDS != 0 && self.shard_size <= agreed.send_shard
    }

    /// What is agreed on with the shadow: without signatures it gets the object without.
    pub(super) fn goes_by(&mut self, agreed: Negotiated) {
        if !agreed.signatures() {
            self.proof = None;
        }
    }

    /// The next frames, or the end.
    pub(super) fn next(&mut self) -> Next {
        if let Some(proof) = self.proof.take() {
            return Next::Data(proof);
        }
        if let Some(manifest) = self.manifest.take() {
            return Next::Data(manifest);
        }
        if self.sent * self.shard_size >= self.object.len() as u64 {
            return Next::End;
        }
        let frame = shard_frame(self.transfer, &self.object, self.shard_size, self.sent);
        self.sent += 1;
        Next::Data(frame)
    }
}

impl Worker {
    /// Begins the copy of an object, unless there are too many.
    pub(in super::super) fn mirror_object(&mut self, mirror: ObjectMirror, now: Instant) {
        let number = self.next_serial();
        let peer = mirror.peer.clone();
        if self.mirrors.objects + mirror.object.len() > OBJECTS {
            return self.counters().mirror_dropped();
        }
        let queue = self.mirrors.queue(&peer, now);
        let Some(queue) = queue.filter(|_| !self.draining) else {
            return self.counters().mirror_skipped();
        };
        if !queue.begin(number, now) {
            return self.counters().mirror_skipped();
        }
        // The original is there, to its end.
        queue.finish(number);
        self.mirrors.objects += mirror.object.len();
        let ends = (peer.address, peer.address);
        let mut copy = Mirror::new(peer, number, mirror.seed.clone(), ends, None);
        copy.object = Some(ObjectCopy::new(mirror));
        let key = self.insert_flow(Flow::Mirror(Box::new(copy)), None);
        self.mirrors.flows.insert(number, key);
        self.queue(key);
    }
}

#[cfg(test)]
mod tests {
    use stoq_wire::extension::SIGNATURES;
    use stoq_wire::frame::Frame;
    use stoq_wire::frame::seed::{Seed, SeedForm};
    use stoq_wire::frame::shard::{Shard, ShardBody};

    use super::*;
    use crate::worker::PeerKey;

    fn copy(length: usize, shard_size: u64) -> ObjectCopy {
        let peer = PeerKey {
            address: "[::1]:1".parse().unwrap(),
            expect: None,
            shadow: true,
            lane: 0,
        };
        let seed = Seed {
            form: SeedForm::Object,
            id: [1; 16],
            share: 1,
            primary: "spiffe://td/ns/shop/sa/db".to_owned(),
        };
        ObjectCopy::new(ObjectMirror {
            peer,
            seed,
            transfer: TransferId([1; 16]),
            object: (0..length).map(|n| n as u8).collect(),
            shard_size,
            proof: Bytes::from_static(b"proof"),
            manifest: Bytes::from_static(b"manifest"),
        })
    }

    #[test]
    fn a_shadow_gets_the_signature_if_it_takes_any() {
        for extensions in [SHARDS, SHARDS | SIGNATURES] {
            let mut copy = copy(0, 10);
            copy.goes_by(Negotiated {
                extensions,
                ..Negotiated::default()
            });
            let first = match extensions & SIGNATURES {
                0 => &b"manifest"[..],
                _ => b"proof",
            };
            assert_eq!(copy.next(), Next::Data(Bytes::from_static(first)));
        }
    }

    #[test]
    fn the_manifest_goes_first_then_every_shard_once_and_the_end() {
        let mut copy = copy(25, 10);
        copy.goes_by(Negotiated::default());
        assert_eq!(copy.next(), Next::Data(Bytes::from_static(b"manifest")));
        let mut found = Vec::new();
        while let Next::Data(frame) = copy.next() {
            let Some((Frame::Shard(Shard { body, .. }), used)) = Frame::decode(&frame).unwrap()
            else {
                panic!("{frame:?}")
            };
            assert_eq!(used, frame.len());
            let ShardBody::Object { offset, data } = body else {
                panic!("{body:?}")
            };
            found.push((offset, data.len()));
        }
        assert_eq!(found, [(0, 10), (10, 10), (20, 5)]);
        assert_eq!(copy.next(), Next::End);
    }

    #[test]
    fn an_empty_object_is_its_manifest() {
        let mut copy = copy(0, 10);
        copy.goes_by(Negotiated::default());
        assert!(matches!(copy.next(), Next::Data(_)));
        assert_eq!(copy.next(), Next::End);
    }

    #[test]
    fn shards_that_the_shadow_does_not_take_are_not_sent() {
        let takes = |extensions, send_shard| {
            copy(5, 10).fits(Negotiated {
                extensions,
                send_shard,
                ..Negotiated::default()
            })
        };
        assert!(takes(SHARDS, 10) && !takes(SHARDS, 9) && !takes(0, 10));
    }
}
