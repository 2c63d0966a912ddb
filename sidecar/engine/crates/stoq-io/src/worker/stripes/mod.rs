//! Striped flows: their owners and their further lanes (`docs/wire-format.md`, section 19).

mod further;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mio::net::TcpStream;
use mio::{Interest, Token};
use quinn_proto::StreamId;
use stoq_core::authorise::Peer;
use stoq_wire::code::StreamCode;
use stoq_wire::head::StreamHead;
use stoq_wire::stripe::Lane as LaneOf;

use super::failover::ANSWER_TIMEOUT;
use super::labels::{encode_lane, note_proven};
use super::observe::{Outcome, count_moved};
use super::{Captured, Client, FLOWS, Flow, FlowInfo, Worker};
use crate::relay::lane::Lane;
use crate::relay::stripe::StripeRelay;
use crate::relay::{Fault, Turn};
use crate::stripes::{Between, Seat, Striped};

pub(crate) use further::{LaneTo, StripeLane};

/// Bytes that a flow has moved, in either direction, when further lanes are worth their streams
/// and connections.
const WORTH_LANES: u64 = 1 << 20;

impl Worker {
    /// Whether a flow that waits goes over lanes on this connection: its peer's policy asks for it,
    /// both ends know them, and it has neither tokens nor copies.
    pub(super) fn is_striped(&self, key: usize, index: usize) -> bool {
        let Flow::Waiting(captured) = &self.flows[key].flow else {
            return false;
        };
        let evidence = self.links[index].as_ref().and_then(|l| l.evidence.as_ref());
        let Some(evidence) = evidence.filter(|evidence| evidence.peer.is_some()) else {
            return false;
        };
        let possible = evidence.agreed.stripes() && !evidence.agreed.stream_tokens();
        captured.lanes > 1 && possible && self.shared.stripes.has_room()
    }

    /// The stream of a captured connection is open: it is lane 0.
    pub(super) fn open_striped(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        captured: Captured,
        now: Instant,
    ) {
        let Captured {
            client,
            info,
            lanes,
            ..
        } = captured;
        let Client { mut tcp, said, .. } = client;
        let evidence = self.links[index].as_ref().and_then(|l| l.evidence.clone());
        let Some(peer) = evidence.as_ref().and_then(|e| e.peer.as_ref()) else {
            return; // `is_striped` has seen it
        };
        let between = between(&info, lanes, peer);
        let striped = self.shared.stripes.begin_ours(between, self.seat(key));
        self.counters().stripe_begun();
        let number = LaneOf { number: 0, lanes };
        let lane = Lane::new(0, stream, encode_lane(&info, number), &[]);
        let token = Token(FLOWS + key * 2);
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(&mut tcp, token, both);
        let slot = &mut self.flows[key];
        note_proven(slot, evidence.as_deref());
        let keep = slot.trial.as_ref().is_some_and(|trial| trial.may_repeat);
        let unanswered = slot.trial.is_some();
        let relay = StripeRelay::opened(tcp, lane, striped, said, keep);
        slot.flow = Flow::Stripe(Box::new(relay));
        self.count_opened(key);
        if unanswered {
            self.set_deadline(key, now + ANSWER_TIMEOUT);
        }
        match registered {
            Ok(()) => self.queue(key),
            Err(error) => {
                let code = StreamCode::Cancelled;
                self.end_flow(key, code, Outcome::Application(error), now);
            }
        }
    }

    fn seat(&self, key: usize) -> Seat {
        Seat {
            worker: self.index,
            key,
            serial: self.flows[key].serial,
        }
    }

    /// A stream of a lane that a peer has opened, or why it is not taken (L1, L2).
    pub(super) fn lane_of(&self, index: usize, head: &StreamHead) -> Result<LaneOf, StreamCode> {
        let evidence = self.links[index].as_ref().and_then(|l| l.evidence.as_ref());
        match evidence.is_some_and(|evidence| evidence.agreed.stripes()) {
            true => LaneOf::new(head.sent, head.received).map_err(|_| StreamCode::BadHead),
            false => Err(StreamCode::Denied),
        }
    }

    /// The application of a flow that a peer has begun with lane 0 is being connected.
    pub(super) fn begin_striped(
        &mut self,
        key: usize,
        (stream, first): (StreamId, &[u8]),
        tcp: TcpStream,
        lanes: u8,
        peer: &Peer,
    ) -> Result<(), StreamCode> {
        let info = self.flows[key].info.as_deref().cloned();
        let info = info.ok_or(StreamCode::Denied)?;
        let between = between(&info, lanes, peer);
        let begun = self.shared.stripes.begin_theirs(between, self.seat(key));
        let striped = begun.ok_or(StreamCode::Denied)?;
        self.counters().stripe_begun();
        let lane = Lane::new(0, stream, Bytes::new(), first);
        let relay = StripeRelay::accepted(tcp, lane, striped, true);
        self.flows[key].flow = Flow::Stripe(Box::new(relay));
        Ok(())
    }

    /// Another worker, or a flow of this one, has left something to do.
    pub(super) fn stripe_due(&mut self, seat: Seat) {
        let slot = self.flows.get(seat.key);
        if slot.is_some_and(|slot| slot.serial == seat.serial) {
            self.queue(seat.key);
        }
    }

    /// A turn of the owner.
    pub(super) fn run_stripe(&mut self, key: usize, now: Instant) {
        let me = self.seat(key);
        let slot = &mut self.flows[key];
        let (Flow::Stripe(relay), Some(index)) = (&mut slot.flow, slot.connection) else {
            return;
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        if relay.connecting {
            if !relay.ready.tcp_write {
                return;
            }
            if let Ok(Some(error)) | Err(error) = relay.tcp.take_error() {
                return self.fail_flow(key, Fault::Application(error), now);
            }
            relay.connecting = false;
        }
        let striped = Arc::clone(&relay.striped);
        let mut state = striped.lock();
        let (turn, any) = match state.over {
            Some(code) => (Turn::Failed(Fault::Peer(Some(code))), false),
            None => relay.run(&mut link.quic, &mut self.blocks, &mut state),
        };
        if any {
            state.wake(me, &self.shared.mailboxes);
        }
        drop(state);
        let (sent, received) = relay.bytes();
        let worth = relay.answered() && sent.max(received) >= WORTH_LANES;
        let join = worth && !relay.joined;
        relay.joined |= worth;
        let answered = relay.answered() && slot.trial.as_ref().is_some_and(|t| !t.is_settled());
        if slot.deadline.is_some() && !relay.connecting && slot.trial.is_none() {
            self.cancel_deadline(key);
        }
        count_moved(&mut self.flows[key]);
        if answered {
            self.answered(key);
        }
        self.activate(index);
        match turn {
            Turn::Waiting => {}
            Turn::More => self.queue(key),
            Turn::Finished => return self.finish_flow(key, now),
            Turn::Failed(fault) => return self.fail_flow(key, fault, now),
        }
        if join {
            self.add_stripe_lanes(key, index, &striped);
        }
    }

    /// The owner of a flow is gone: nothing joins it any more, and unless it `finished` its lanes are
    /// reset.
    pub(super) fn stripe_ended(
        &self,
        key: usize,
        serial: u64,
        striped: &Arc<Striped>,
        outcome: &Outcome,
    ) {
        let me = Seat {
            worker: self.index,
            key,
            serial,
        };
        self.shared.stripes.end(striped);
        let mut state = striped.lock();
        if !matches!(outcome, Outcome::Finished) {
            let code = outcome.code().unwrap_or(StreamCode::Reset);
            state.over.get_or_insert(code);
        }
        state.wake(me, &self.shared.mailboxes);
    }

    /// Whether a flow is one of lanes that is over, for both ends: what becomes of its connections
    /// then is nothing to the applications.
    pub(super) fn is_stripe_over(&self, key: usize) -> bool {
        match self.flows.get(key).map(|slot| &slot.flow) {
            Some(Flow::Stripe(relay)) => relay.striped.lock().stripe.is_finished(),
            _ => false,
        }
    }
}

/// What the lanes of a flow have in common.
fn between(info: &FlowInfo, lanes: u8, peer: &Peer) -> Between {
    Between {
        flow: info.flow,
        lanes,
        source: info.source,
        destination: info.destination,
        peer: peer.spiffe.clone(),
        key: peer.falcon_key_id,
    }
}
