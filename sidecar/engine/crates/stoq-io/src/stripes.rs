//! Striped flows (`docs/wire-format.md`, section 19), each of which several workers carry.
//!
//! A flow has an owner, which has the application's connection and lane 0, and seats, the further
//! lanes: flows of their own, of this worker or of others. All of them lock the same [`State`] while
//! they run, a turn at a time, and wake the others when they have moved something.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stoq_core::authorise::Peer;
use stoq_core::falcon::KeyId;
use stoq_core::spiffe::SpiffeId;
use stoq_frames::stripe::Stripe;
use stoq_wire::code::StreamCode;
use stoq_wire::head::FlowId;
use stoq_wire::stripe::FIRST_LIMIT;

use crate::mailbox::{Command, Mailbox};

/// Bytes of a direction that are kept for each lane: what a connection has on the way at 1 Gbit/s and
/// a round trip of 16 ms.
const WINDOW_PER_LANE: u64 = 2 << 20;

/// Bytes of windows of all flows, beyond the first limit that each of them has anyway. A flow that
/// does not fit goes on with the first limit alone.
const WIDE: u64 = 64 << 20;

/// Flows that begin here at once; further ones go over one stream.
const MOST_OURS: usize = 128;

/// Flows that peers have begun; further ones are refused.
const MOST_THEIRS: usize = 8192;

/// A flow in the slab of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) worker: usize,
    pub(crate) key: usize,
    /// Of its slot.
    pub(crate) serial: u64,
}

/// What both ends of a flow's lanes have to have in common (L3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Between {
    pub(crate) flow: FlowId,
    /// Lanes that it may have.
    pub(crate) lanes: u8,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// Who is at the other end.
    pub(crate) peer: SpiffeId,
    /// The FALCON key by which that was proven.
    pub(crate) key: KeyId,
}

impl Between {
    /// Whether the lane of a peer that has proven so much may carry the flow.
    pub(crate) fn is_with(&self, peer: &Peer) -> bool {
        self.peer == peer.spiffe && self.key == peer.falcon_key_id
    }
}

/// A striped flow.
#[derive(Debug)]
pub(crate) struct Striped {
    pub(crate) between: Between,
    /// Whether it began here.
    ours: bool,
    /// Bytes of its window beyond the first limit.
    wide: u64,
    state: Mutex<State>,
}

/// What its owner and its seats change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) stripe: Stripe,
    owner: Seat,
    seats: Vec<Seat>,
    /// The flow is over before its end: all lanes are reset with it.
    pub(crate) over: Option<StreamCode>,
}

impl Striped {
    /// A flow of `owner`, which began here or not, with so much window beyond the first limit.
    pub(crate) fn new(between: Between, owner: Seat, ours: bool, wide: u64) -> Arc<Self> {
        let state = State {
            stripe: Stripe::new(FIRST_LIMIT + wide),
            owner,
            seats: Vec::new(),
            over: None,
        };
        Arc::new(Self {
            between,
            ours,
            wide,
            state: Mutex::new(state),
        })
    }

    /// The flow is over before its end, for which all lanes are reset with `code`; the first holds.
    pub(crate) fn abandon(&self, code: StreamCode) {
        self.lock().over.get_or_insert(code);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A further lane; `false` when there has been one of its number or the flow is over.
    pub(crate) fn join(&mut self, number: u8, seat: Seat) -> bool {
        let open = self.over.is_none() && !self.stripe.is_finished();
        let joined = open && self.stripe.join(number);
        if joined {
            self.seats.push(seat);
        }
        joined
    }

    /// A further lane is gone; `lost`: with what it may not have brought.
    pub(crate) fn leave(&mut self, number: u8, seat: Seat, lost: bool) {
        let before = self.seats.len();
        self.seats.retain(|other| *other != seat);
        if lost && self.seats.len() < before {
            // Only the loss of lane 0 is one of the flow, and that is its owner's.
            let _ = self.stripe.lane_lost(number);
        }
    }

    /// Has everybody but `me` run who may have something to do now.
    pub(crate) fn wake(&self, me: Seat, mailboxes: &[Mailbox]) {
        let all = self.stripe.is_due() || self.stripe.is_finished() || self.over.is_some();
        let seats = self.seats.iter().filter(|_| all);
        for seat in seats.chain([&self.owner]).filter(|seat| **seat != me) {
            mailboxes[seat.worker].post(Command::Stripe(*seat));
        }
    }
}

/// The striped flows of all workers.
#[derive(Debug, Default)]
pub(crate) struct StripeHub {
    flows: Mutex<Flows>,
}

/// What there is, of whom.
#[derive(Debug, Default)]
struct Flows {
    /// Those that peers have begun.
    theirs: HashMap<FlowId, Arc<Striped>>,
    /// How many began here.
    ours: usize,
    /// Bytes of their windows beyond the first limit.
    wide: u64,
    by_peer: HashMap<SpiffeId, Share>,
}

/// What the flows with one identity have.
#[derive(Debug, Default)]
struct Share {
    /// Those that it has begun.
    theirs: usize,
    flows: usize,
    wide: u64,
}

impl StripeHub {
    fn lock(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may begin here.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().ours < MOST_OURS
    }

    /// A flow begins here.
    pub(crate) fn begin_ours(&self, between: Between, owner: Seat) -> Arc<Striped> {
        let mut flows = self.lock();
        flows.ours += 1;
        flows.take_in(between, owner, true)
    }

    /// A peer has begun a flow; none when there is one of its id, or no room. Three quarters of the
    /// room are the most for one identity.
    pub(crate) fn begin_theirs(&self, between: Between, owner: Seat) -> Option<Arc<Striped>> {
        let mut flows = self.lock();
        let share = flows.by_peer.get(&between.peer);
        let free = flows.theirs.len() < MOST_THEIRS
            && share.is_none_or(|share| share.theirs < MOST_THEIRS / 4 * 3)
            && !flows.theirs.contains_key(&between.flow);
        if !free {
            return None;
        }
        let flow = between.flow;
        let striped = flows.take_in(between, owner, false);
        flows.theirs.insert(flow, Arc::clone(&striped));
        Some(striped)
    }

    /// A flow that a peer has begun.
    pub(crate) fn find(&self, flow: FlowId) -> Option<Arc<Striped>> {
        self.lock().theirs.get(&flow).cloned()
    }

    /// A flow has ended: nothing joins it any more.
    pub(crate) fn end(&self, striped: &Striped) {
        let mut flows = self.lock();
        match striped.ours {
            true => flows.ours -= 1,
            false => drop(flows.theirs.remove(&striped.between.flow)),
        }
        flows.wide -= striped.wide;
        if let Entry::Occupied(mut share) = flows.by_peer.entry(striped.between.peer.clone()) {
            share.get_mut().flows -= 1;
            share.get_mut().theirs -= usize::from(!striped.ours);
            share.get_mut().wide -= striped.wide;
            if share.get().flows == 0 {
                share.remove();
            }
        }
    }
}

impl Flows {
    /// Makes a flow, and counts it. It has its whole window while that is free, of which three
    /// quarters are the most for flows with one identity.
    fn take_in(&mut self, between: Between, owner: Seat, ours: bool) -> Arc<Striped> {
        let whole = WINDOW_PER_LANE * u64::from(between.lanes) - FIRST_LIMIT;
        let share = self.by_peer.entry(between.peer.clone()).or_default();
        let fits = self.wide + whole <= WIDE && share.wide + whole <= WIDE / 4 * 3;
        let wide = if fits { whole } else { 0 };
        self.wide += wide;
        share.wide += wide;
        share.flows += 1;
        share.theirs += usize::from(!ours);
        Striped::new(between, owner, ours, wide)
    }
}

#[cfg(test)]
mod tests;
