//! Further lanes of striped flows: opened here or by a peer, at work, and gone.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::StreamId;
use stoq_frames::stripe::Stripe;
use stoq_wire::code::StreamCode;
use stoq_wire::head::StreamHead;
use stoq_wire::stripe::Lane as LaneOf;

use super::super::inbound::ends;
use super::super::labels::encode_lane;
use super::super::observe::Outcome;
use super::super::{Flow, FlowInfo, Origin, PeerKey, Worker};
use crate::mailbox::Command;
use crate::relay::Fault;
use crate::relay::lane::Lane;
use crate::stripes::{Seat, Striped};

/// A further lane on its way to a connection.
#[derive(Debug)]
pub(crate) struct LaneTo {
    pub(crate) peer: PeerKey,
    striped: Arc<Striped>,
    number: u8,
    info: FlowInfo,
}

/// A further lane on its stream.
#[derive(Debug)]
pub(crate) struct StripeLane {
    pub(crate) lane: Lane,
    striped: Arc<Striped>,
}

impl Worker {
    /// A further lane of a flow that is here, if it is that (L3).
    pub(in super::super) fn accept_lane(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        (head, lane): (&StreamHead, LaneOf),
        first: &[u8],
        now: Instant,
    ) {
        let evidence = self.links[index].as_ref().and_then(|l| l.evidence.clone());
        let peer = evidence.as_ref().and_then(|e| e.peer.as_ref());
        let found = self.shared.stripes.find(head.flow).filter(|striped| {
            let between = &striped.between;
            let addresses = ends(head);
            peer.is_some_and(|peer| between.is_with(peer))
                && between.lanes == lane.lanes
                && (between.source, between.destination) == addresses
        });
        let seat = self.seat(key);
        let joined = found.filter(|striped| striped.lock().join(lane.number, seat));
        let Some(striped) = joined else {
            self.counters().stripe_lane_refused();
            self.counters().stream_refused(StreamCode::Denied);
            let why = format!("no striped flow has room for lane {}", lane.number);
            self.end_flow(key, StreamCode::Denied, Outcome::Refused(why), now);
            return;
        };
        let lane = Lane::new(lane.number, stream, Bytes::new(), first);
        self.begin_stripe_lane(key, StripeLane { lane, striped });
    }

    /// A further lane goes to work.
    fn begin_stripe_lane(&mut self, key: usize, one: StripeLane) {
        self.flows[key].flow = Flow::StripeLane(Box::new(one));
        self.stripe_lanes += 1;
        self.counters().stripe_lane_joined();
        self.queue(key);
    }

    /// Opens the further lanes of a flow that began here, each by the worker that has its connection.
    pub(super) fn add_stripe_lanes(&self, key: usize, index: usize, striped: &Arc<Striped>) {
        let link = self.links[index].as_ref();
        let origin = link.map(|link| link.origin.clone());
        let (Some(Origin::Dialled(peer)), Some(info)) = (origin, self.flows[key].info.as_deref())
        else {
            return; // the peer began it, and adds the lanes
        };
        for number in 1..striped.between.lanes {
            let peer = PeerKey {
                lane: number,
                ..peer.clone()
            };
            let owner = peer.owner(self.shared.mailboxes.len());
            let place = LaneTo {
                peer,
                striped: Arc::clone(striped),
                number,
                info: info.clone(),
            };
            self.shared.mailboxes[owner].post(Command::StripeLane(Box::new(place)));
        }
    }

    /// Finds a connection for a further lane.
    pub(in super::super) fn place_stripe_lane(&mut self, place: LaneTo, now: Instant) {
        if self.draining || self.is_full() {
            return; // the flow goes on without it
        }
        let key = self.insert_flow(Flow::StripeWaiting(Box::new(place)), None);
        self.set_deadline(key, now + self.opening_timeout());
        self.place(key, now);
    }

    /// The stream of a further lane is open. Its peer must be that of lane 0.
    pub(in super::super) fn open_stripe_lane(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        place: LaneTo,
        now: Instant,
    ) {
        let LaneTo {
            striped,
            number,
            info,
            ..
        } = place;
        let evidence = self.links[index].as_ref().and_then(|l| l.evidence.clone());
        let with = evidence.as_ref().is_some_and(|evidence| {
            let peer = evidence.peer.as_ref();
            evidence.agreed.stripes() && peer.is_some_and(|peer| striped.between.is_with(peer))
        });
        let seat = self.seat(key);
        if !with || !striped.lock().join(number, seat) {
            let why = "the flow has ended, or its peer is another by now".to_owned();
            self.end_flow(key, StreamCode::Cancelled, Outcome::Refused(why), now);
            return;
        }
        let lanes = striped.between.lanes;
        let head = encode_lane(&info, LaneOf { number, lanes });
        let lane = Lane::new(number, stream, head, &[]);
        self.begin_stripe_lane(key, StripeLane { lane, striped });
    }

    /// A turn of a further lane.
    pub(in super::super) fn run_stripe_lane(&mut self, key: usize, now: Instant) {
        let me = self.seat(key);
        let slot = &mut self.flows[key];
        let (Flow::StripeLane(one), Some(index)) = (&mut slot.flow, slot.connection) else {
            return;
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let mut state = one.striped.lock();
        if let Some(code) = state.over {
            drop(state);
            self.cancel_deadline(key);
            return self.end_flow(key, code, Outcome::Peer(Some(code)), now);
        }
        let result = turn(&mut one.lane, &mut link.quic, &mut state.stripe);
        if matches!(result, Ok((true, _))) {
            state.wake(me, &self.shared.mailboxes);
        }
        drop(state);
        let over = one.lane.is_over();
        self.cancel_deadline(key);
        self.activate(index);
        match result {
            Ok(_) if over => self.finish_flow(key, now),
            Ok((_, true)) => self.queue(key),
            Ok((_, false)) => {}
            Err(fault) => self.fail_flow(key, fault, now),
        }
    }

    /// A further lane is gone. What the peer resets it with is for all lanes, but when it does not
    /// take this one (L3).
    pub(in super::super) fn stripe_lane_ended(
        &mut self,
        key: usize,
        serial: u64,
        one: &StripeLane,
        outcome: &Outcome,
    ) {
        let me = Seat {
            worker: self.index,
            key,
            serial,
        };
        self.stripe_lanes -= 1;
        let mut state = one.striped.lock();
        let whole = match outcome {
            Outcome::Finished | Outcome::Connection { .. } => None,
            Outcome::Peer(Some(StreamCode::Denied | StreamCode::Draining)) => None,
            Outcome::Peer(code) => Some(code.unwrap_or(StreamCode::Reset)),
            _ => Some(StreamCode::BadShard),
        };
        let over = state.stripe.is_finished();
        state.leave(one.lane.number, me, !matches!(outcome, Outcome::Finished));
        if let Some(code) = whole.filter(|_| !over) {
            state.over.get_or_insert(code);
        }
        if !over && state.over.is_none() {
            self.counters().stripe_lane_lost();
        }
        state.wake(me, &self.shared.mailboxes);
    }
}

/// What a lane moves; whether that was anything, and whether there is more.
fn turn(
    lane: &mut Lane,
    quic: &mut quinn_proto::Connection,
    stripe: &mut Stripe,
) -> Result<(bool, bool), Fault> {
    let read = lane.read(quic, stripe)?;
    let written = lane.write(quic, stripe)?;
    Ok((read.any || written.any, read.more || written.more))
}
