//! Copies of flows for shadow peers (`docs/wire-format.md`, section 15).
//!
//! [`begin`] decides which flows are copied and feeds the copies; [`sending`] is the stream of one, and
//! [`received`] takes those of peers.
//! A copy is sent by the worker that has the original, on connections that carry nothing but copies.
//! Between the two is a bounded queue for each shadow: what does not fit is given up, and the
//! original neither waits nor fails.

mod begin;
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
        if !matches!(self.flows[key].flow, Flow::Mirror(_))
            || agreed.is_some_and(|agreed| agreed.extensions & SEEDS != 0)
        {
            return true;
        }
        let remote = link.map(|link| link.quic.remote_address());
        self.shared.log.warn(format_args!(
            "{remote:?} takes no copies: its sidecar is older, or does not offer it \
             (STOQ_FRAMES_MIRRORS)"
        ));
        let denied = Outcome::Peer(Some(StreamCode::Denied));
        self.end_flow(key, StreamCode::Cancelled, denied, now);
        false
    }

    /// A copy is over.
    pub(super) fn mirror_ended(&mut self, mirror: &Mirror, outcome: &Outcome, now: Instant) {
        self.mirrors.flows.remove(&mirror.number);
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
