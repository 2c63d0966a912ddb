//! Copies of flows and objects for shadow peers (`docs/wire-format.md`, section 15).
//!
//! [`begin`] decides which flows are copied and feeds the copies, [`objects`] sends those of objects;
//! [`sending`] is the stream of one, and [`received`] takes those of peers.
//! A copy is sent by the worker that has the original, on connections that carry nothing but copies.
//! Between the two is a bounded queue for each shadow: what does not fit is given up, and the
//! original neither waits nor fails.

mod begin;
mod objects;
mod received;
mod sending;

use std::collections::HashMap;
use std::time::Instant;

use stoq_frames::seed::SeedQueue;
use stoq_wire::code::StreamCode;
use stoq_wire::extension::SEEDS;

use super::observe::Outcome;
use super::{Flow, PeerKey, Worker};

pub(crate) use sending::{Mirror, MirrorWay};

/// Bytes that wait for one shadow: some turns of a relay at full speed.
const QUEUE: usize = 1 << 20;

/// Copies to one shadow at once.
const COPIES: usize = 256;

/// Shadows of a worker: all queues together hold 16 MiB.
const SHADOWS: usize = 16;

/// A worker's part of mirrors.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    queues: HashMap<PeerKey, SeedQueue>,
    /// The flow that sends a copy, by the copy's number.
    flows: HashMap<u64, usize>,
    /// Bytes of the objects that copies are sent of.
    objects: usize,
}

impl Mirrors {
    /// How many copies there are.
    pub(super) fn count(&self) -> usize {
        self.flows.len()
    }

    /// The queue of a shadow; none where there are too many.
    fn queue(&mut self, peer: &PeerKey, now: Instant) -> Option<&mut SeedQueue> {
        if !self.queues.contains_key(peer) && self.queues.len() >= SHADOWS {
            self.queues.retain(|_, queue| !queue.is_idle(now));
            if self.queues.len() >= SHADOWS {
                return None;
            }
        }
        let new = || SeedQueue::new(QUEUE, COPIES);
        Some(self.queues.entry(peer.clone()).or_insert_with(new))
    }
}

impl Worker {
    /// Whether as many connections are relayed as may be. Copies do not count: they keep out
    /// nobody.
    pub(super) fn is_full(&self) -> bool {
        let most = self.shared.settings.limits.relays as usize;
        self.flows.len().saturating_sub(self.mirrors.count()) >= most
    }

    /// Whether a connection's peer takes copies; if not, the copy has failed.
    pub(super) fn mirror_possible(&mut self, key: usize, index: usize, now: Instant) -> bool {
        let link = self.links[index].as_ref();
        let agreed = link.and_then(|link| Some(link.evidence.as_ref()?.agreed));
        let Flow::Mirror(mirror) = &mut self.flows[key].flow else {
            return true;
        };
        let object = mirror.object.as_mut();
        if let Some(agreed) = agreed.filter(|agreed| agreed.extensions & SEEDS != 0)
            && object.as_ref().is_none_or(|object| object.fits(agreed))
        {
            if let Some(object) = object {
                object.goes_by(agreed);
            }
            return true;
        }
        let remote = mirror.peer.address;
        self.shared.log.warn(format_args!(
            "{remote} takes no copies: its engine is older, or does not offer it \
             (STOQ_FRAMES_MIRRORS), or shards as large as those of an object that is copied"
        ));
        let denied = Outcome::Peer(Some(StreamCode::Denied));
        self.end_flow(key, StreamCode::Cancelled, denied, now);
        false
    }

    /// A copy is over.
    pub(super) fn mirror_ended(&mut self, mirror: &Mirror, outcome: &Outcome, now: Instant) {
        self.mirrors.flows.remove(&mirror.number);
        self.mirrors.objects -= mirror.object.as_ref().map_or(0, objects::ObjectCopy::len);
        let Some(queue) = self.mirrors.queues.get_mut(&mirror.peer) else {
            return;
        };
        queue.end(mirror.number);
        if mirror.is_whole() {
            queue.succeeded();
            return self.counters().mirror_sent();
        }
        if matches!(outcome, Outcome::Refused(_) | Outcome::Finished) {
            return; // given up here, and counted where that was decided
        }
        let others = match speaks_against_peer(outcome) {
            true => queue.failed(now),
            false => Vec::new(),
        };
        self.counters().mirror_failed();
        self.shared.log.debug(format_args!(
            "a copy for {} ended: {outcome}",
            mirror.peer.address
        ));
        for number in others {
            self.counters().mirror_failed();
            self.give_up(number, StreamCode::Cancelled, now);
        }
    }

    /// Ends a copy that is not to go on.
    fn give_up(&mut self, number: u64, code: StreamCode, now: Instant) {
        if let Some(key) = self.mirrors.flows.get(&number) {
            let why = Outcome::Refused("the copy is given up".to_owned());
            self.end_flow(*key, code, why, now);
        }
    }
}

/// Whether the end of a copy says that its shadow takes none, and not only this application of one.
fn speaks_against_peer(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Connection { .. } | Outcome::TimedOut => true,
        Outcome::Peer(code) => !matches!(code, None | Some(StreamCode::Reset)),
        Outcome::Finished | Outcome::Application(_) | Outcome::Refused(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddr};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::counters::ResponseFlag;

    fn shadow(port: u16) -> PeerKey {
        PeerKey {
            address: SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
            expect: None,
            shadow: true,
            lane: 0,
        }
    }

    #[test]
    fn shadows_at_once_are_bounded_and_those_without_copies_make_room() {
        let (mut mirrors, now) = (Mirrors::default(), Instant::now());
        for port in 0..SHADOWS as u16 {
            let queue = mirrors.queue(&shadow(port), now).unwrap();
            assert!(queue.begin(port.into(), now));
        }
        assert!(mirrors.queue(&shadow(99), now).is_none());
        assert!(mirrors.queue(&shadow(0), now).is_some(), "it has a queue");
        mirrors.queue(&shadow(3), now).unwrap().end(3);
        assert!(mirrors.queue(&shadow(99), now).is_some());
    }

    #[test]
    fn a_shadow_that_failed_is_not_forgotten_for_another() {
        let (mut mirrors, now) = (Mirrors::default(), Instant::now());
        for port in 0..SHADOWS as u16 {
            mirrors.queue(&shadow(port), now).unwrap().failed(now);
        }
        assert!(mirrors.queue(&shadow(99), now).is_none());
        let later = now + Duration::from_secs(120);
        assert!(mirrors.queue(&shadow(99), later).is_some());
        assert_eq!(mirrors.queues.len(), 1);
    }

    #[test]
    fn what_waits_for_one_shadow_is_bounded() {
        let (mut mirrors, now) = (Mirrors::default(), Instant::now());
        let queue = mirrors.queue(&shadow(1), now).unwrap();
        assert!(queue.begin(1, now));
        let piece = Bytes::from(vec![0; 64 * 1024]);
        let pushed = (0..1000).take_while(|_| queue.push(1, piece.clone()));
        assert_eq!(pushed.count(), QUEUE / piece.len());
        assert_eq!(
            queue.kept(),
            0,
            "nothing is left of a copy that did not fit"
        );
    }

    #[test]
    fn only_what_every_copy_would_meet_speaks_against_a_shadow() {
        let lost = Outcome::Connection {
            why: "lost".into(),
            flag: ResponseFlag::Reset,
        };
        let by = |code| Outcome::Peer(Some(code));
        let against = [
            lost,
            Outcome::TimedOut,
            by(StreamCode::Denied),
            by(StreamCode::Refused),
            by(StreamCode::AccessDenied),
        ];
        assert!(against.iter().all(speaks_against_peer));
        let harmless = [
            by(StreamCode::Reset),
            Outcome::Peer(None),
            Outcome::Finished,
            Outcome::Refused(String::new()),
        ];
        assert!(!harmless.iter().any(speaks_against_peer));
    }
}
