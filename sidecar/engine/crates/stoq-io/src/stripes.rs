//! Striped flows (`docs/wire-format.md`, section 19), each of which several workers carry.
//!
//! A flow has an owner, which has the application's connection and lane 0, and seats, the further
//! lanes: flows of their own, of this worker or of others. All of them lock the same [`State`] while
//! they run, a turn at a time, and wake the others when they have moved something.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stoq_core::authorise::Peer;
use stoq_core::falcon::KeyId;
use stoq_core::spiffe::SpiffeId;
use stoq_frames::stripe::Stripe;
use stoq_wire::code::StreamCode;
use stoq_wire::head::FlowId;
use stoq_wire::stripe::FIRST_LIMIT;

use crate::mailbox::{Command, Mailbox};

/// Bytes by which an application may fall behind, for each lane: what a connection has on the way at
/// 1 Gbit/s and a round trip of 16 ms.
const WINDOW_PER_LANE: u64 = 2 << 20;

/// Flows with so much at once, in both directions. Further ones get no more than every sender may
/// send at once.
const MOST_WIDE: usize = 64;

/// Flows that begin here at once; further ones go over one stream.
const MOST_OURS: usize = 128;

/// Flows that peers have begun; further ones are refused.
const MOST_THEIRS: usize = 4096;

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
    /// A flow of `owner`, which began here or not, and whose application may fall behind by `window`
    /// bytes.
    pub(crate) fn new(between: Between, owner: Seat, ours: bool, window: u64) -> Arc<Self> {
        let state = State {
            stripe: Stripe::new(window),
            owner,
            seats: Vec::new(),
            over: None,
        };
        Arc::new(Self {
            between,
            ours,
            state: Mutex::new(state),
        })
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
    /// Those that peers have begun.
    theirs: Mutex<HashMap<FlowId, Arc<Striped>>>,
    /// How many began here.
    ours: AtomicUsize,
}

impl StripeHub {
    fn lock(&self) -> MutexGuard<'_, HashMap<FlowId, Arc<Striped>>> {
        self.theirs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may begin here.
    pub(crate) fn has_room(&self) -> bool {
        self.ours.load(Ordering::Relaxed) < MOST_OURS
    }

    /// Bytes by which the application of one more flow of so many lanes may fall behind.
    pub(crate) fn window(&self, lanes: u8) -> u64 {
        let flows = self.lock().len() + self.ours.load(Ordering::Relaxed);
        match flows < MOST_WIDE {
            true => WINDOW_PER_LANE * u64::from(lanes),
            false => FIRST_LIMIT,
        }
    }

    /// Counts a flow, and makes one that a peer has begun known; `false` when there is one of its id,
    /// or no room.
    pub(crate) fn begin(&self, striped: &Arc<Striped>) -> bool {
        if striped.ours {
            self.ours.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let mut flows = self.lock();
        let free = flows.len() < MOST_THEIRS && !flows.contains_key(&striped.between.flow);
        if free {
            flows.insert(striped.between.flow, Arc::clone(striped));
        }
        free
    }

    pub(crate) fn find(&self, flow: FlowId) -> Option<Arc<Striped>> {
        self.lock().get(&flow).cloned()
    }

    /// A flow that was counted has ended: nothing joins it any more.
    pub(crate) fn end(&self, striped: &Striped) {
        if striped.ours {
            self.ours.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.lock().remove(&striped.between.flow);
        }
    }
}
