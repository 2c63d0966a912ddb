//! Which flows are copied, and what their copies get.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use stoq_core::table::{Draw, Shadow, Transport, decide_mirrors};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::seed::{Seed, SeedForm};

use super::super::{Flow, FlowInfo, PeerKey, Worker};
use super::Mirror;
use crate::relay::tee::{Copy, Tee};

impl Worker {
    /// Begins the copies of a flow that waits, and whose stream is opened now on connection
    /// `index`. They are dialled by [`Worker::start_mirrors`], after the original.
    pub(in super::super) fn begin_mirrors(
        &mut self,
        key: usize,
        index: usize,
        now: Instant,
    ) -> Option<Box<Tee>> {
        let slot = &self.flows[key];
        let (Flow::Waiting(captured), Some(trial)) = (&slot.flow, slot.trial.as_deref()) else {
            return None;
        };
        let dialled = trial.dialled;
        let table = Arc::clone(&self.table);
        if table.service_at(dialled.ip())?.mirrors.is_empty() {
            return None;
        }
        let info = captured.info.clone();
        let evidence = self.links[index].as_ref()?.evidence.as_ref()?;
        let primary = evidence.peer.as_ref()?.spiffe.as_str().to_owned();
        let shared = Arc::clone(&self.shared);
        let draw = Draw {
            pick: self.pick(),
            standing: &|address| shared.endpoints.standing(address, now),
            tried: &[],
            meshed: true,
            transport: Transport::Tcp,
        };
        let mut copies = Vec::new();
        for shadow in decide_mirrors(&table, dialled, &info.flow.0, &draw) {
            let copy = shadow.and_then(|shadow| self.begin_mirror(&shadow, &info, &primary, now));
            match copy {
                Some(copy) => copies.push(copy),
                None => self.counters().mirror_skipped(),
            }
        }
        (!copies.is_empty()).then(|| Box::new(Tee::new(copies)))
    }

    fn begin_mirror(
        &mut self,
        shadow: &Shadow<'_>,
        info: &FlowInfo,
        primary: &str,
        now: Instant,
    ) -> Option<Copy> {
        if self.refuses_ipv4(shadow.stoq) {
            return None;
        }
        let peer = PeerKey {
            address: shadow.stoq,
            expect: Some(shadow.expect.clone()),
            shadow: true,
            lane: 0,
        };
        let number = self.next_serial();
        if !self.mirrors.queue(&peer, now)?.begin(number, now) {
            return None;
        }
        let seed = Seed {
            form: SeedForm::Flow,
            id: info.flow.0,
            share: shadow.share,
            primary: primary.to_owned(),
        };
        let open = self.shared.endpoints.open(shadow.destination);
        let ends = (info.source, shadow.destination);
        let mirror = Mirror::new(peer.clone(), number, seed, ends, Some(open));
        let key = self.insert_flow(Flow::Mirror(Box::new(mirror)), None);
        self.mirrors.flows.insert(number, key);
        Some(Copy { peer, number })
    }

    /// Has the copies of a flow find connections.
    pub(in super::super) fn start_mirrors(&mut self, key: usize) {
        for (_, number) in self.copies(key) {
            if let Some(key) = self.mirrors.flows.get(&number) {
                self.queue(*key);
            }
        }
    }

    fn copies(&mut self, key: usize) -> Vec<(PeerKey, u64)> {
        let tee = match self.flows.get_mut(key).map(|slot| &mut slot.flow) {
            Some(Flow::Relay(relay)) => relay.tee().as_deref(),
            _ => None,
        };
        let copies = tee.map(|tee| tee.copies.iter());
        let named = |copy: &Copy| (copy.peer.clone(), copy.number);
        copies.into_iter().flatten().map(named).collect()
    }

    /// Gives the copies of a relay what its stream has taken since the last time, and their end if
    /// that was taken.
    pub(in super::super) fn feed_mirrors(&mut self, key: usize, now: Instant) {
        let Some(Flow::Relay(relay)) = self.flows.get_mut(key).map(|slot| &mut slot.flow) else {
            return;
        };
        let ended = relay.sending_ended();
        let Some(mut tee) = relay.tee().take() else {
            return;
        };
        let taken = tee.drain();
        tee.copies.retain(|copy| self.feed(copy, &taken, now));
        if ended {
            self.finish_mirrors(&tee.copies);
        } else if !tee.copies.is_empty()
            && let Some(Flow::Relay(relay)) = self.flows.get_mut(key).map(|slot| &mut slot.flow)
        {
            *relay.tee() = Some(tee);
        }
    }

    /// Adds to a copy; `false` when it is over.
    fn feed(&mut self, copy: &Copy, taken: &[Bytes], now: Instant) -> bool {
        for piece in taken {
            let queue = self.mirrors.queues.get_mut(&copy.peer);
            if queue.is_some_and(|queue| queue.push(copy.number, piece.clone())) {
                continue;
            }
            // One that its own end has not removed did not fit.
            if self.mirrors.flows.contains_key(&copy.number) {
                self.counters().mirror_dropped();
                self.give_up(copy.number, StreamCode::Cancelled, now);
            }
            return false;
        }
        if let Some(key) = self.mirrors.flows.get(&copy.number)
            && !taken.is_empty()
        {
            self.queue(*key);
        }
        true
    }

    fn finish_mirrors(&mut self, copies: &[Copy]) {
        for copy in copies {
            if let Some(queue) = self.mirrors.queues.get_mut(&copy.peer) {
                queue.finish(copy.number);
            }
            if let Some(key) = self.mirrors.flows.get(&copy.number) {
                self.queue(*key);
            }
        }
    }

    /// The original has ended before its stream took its end: the copies end as it did.
    pub(in super::super) fn abandon_mirrors(&mut self, tee: Option<Box<Tee>>, now: Instant) {
        for copy in tee.into_iter().flat_map(|tee| tee.copies) {
            self.give_up(copy.number, StreamCode::Reset, now);
        }
    }
}
