//! Objects that are sent.

use std::time::Instant;

use stoq_wire::code::{ConnectionCode, StreamCode};

use super::super::observe::Outcome;
use super::super::{Flow, PeerKey, Worker};
use super::lane::LaneStep;
use crate::api::{ApiEvent, StreamToken};
use crate::mailbox::Command;
use crate::objects::{ObjectRequest, Outgoing};

/// Times that lanes of an object are opened again after their connection was lost.
const AGAIN: u32 = 8;

/// Lanes to one peer; further objects wait for their turn. Half of what a receiver takes of a
/// connection: it may hear later than we that lanes have ended.
const MOST_TO_PEER: usize = 16;

/// An object on its way.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) outgoing: Outgoing,
    /// The flows of its lanes, and how many of them wait for a connection.
    pub(super) lanes: Vec<usize>,
    pub(super) waiting: usize,
    /// How often a lane may be opened again.
    pub(super) again: u32,
}

impl Sending {
    /// How many shards a lane may take: its share, until all lanes are open.
    fn share(&self) -> u64 {
        match self.waiting {
            0 => u64::MAX,
            _ => self.outgoing.count().div_ceil(self.outgoing.lanes.into()),
        }
    }
}

impl Worker {
    /// Sends an object when it is its turn.
    pub(super) fn send_object(&mut self, outgoing: Outgoing, now: Instant) {
        let peer = outgoing.peer.clone();
        self.objects.queued.push_back(outgoing);
        self.send_queued(&peer, now);
    }

    /// Begins with the objects to a peer whose turn it is.
    pub(super) fn send_queued(&mut self, peer: &PeerKey, now: Instant) {
        let busy: usize = self
            .objects
            .sending
            .values()
            .filter(|sending| sending.outgoing.peer == *peer)
            .map(|sending| usize::from(sending.outgoing.lanes))
            .sum();
        let queued = &mut self.objects.queued;
        let next = queued.iter().position(|next| next.peer == *peer);
        if let Some(at) = next
            && busy + usize::from(queued[at].lanes) <= MOST_TO_PEER
            && let Some(outgoing) = queued.remove(at)
        {
            self.next_object(peer.clone());
            self.open_lanes(outgoing, now);
        }
    }

    /// Looks in the next turn whether another object may begin: not at once, for it may fail at
    /// once, and those behind it.
    fn next_object(&self, peer: PeerKey) {
        if self.objects.queued.iter().any(|queued| queued.peer == peer) {
            self.shared.mailboxes[self.index].post(Command::Objects(ObjectRequest::Next(peer)));
        }
    }

    fn open_lanes(&mut self, mut outgoing: Outgoing, now: Instant) {
        let (token, lanes) = (outgoing.token, outgoing.lanes);
        if !outgoing.proof.is_empty() {
            self.counters().signature_made();
        }
        (0..outgoing.count()).for_each(|index| outgoing.shards.push(index));
        let sending = Sending {
            outgoing,
            lanes: Vec::new(),
            waiting: 0,
            again: AGAIN,
        };
        self.objects.sending.insert(token, sending);
        if self.draining {
            let why = "the engine is going away";
            return self.sending_failed(token, why, Some(StreamCode::Draining), now);
        }
        let keys: Vec<_> = (0..lanes)
            .map(|_| self.add_lane(token, false, now))
            .collect();
        for key in keys.into_iter().flatten() {
            // The first may have shown that no lane will ever open.
            if self.objects.sending.contains_key(&token) {
                self.place(key, now);
            }
        }
    }

    pub(in super::super) fn run_lane(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let (Flow::Lane(lane), Some(index)) = (&mut slot.flow, slot.connection) else {
            return;
        };
        let token = lane.token;
        let (Some(sending), Some(link)) = (
            self.objects.sending.get_mut(&token),
            self.links[index].as_mut(),
        ) else {
            return;
        };
        let share = sending.share();
        let step = lane.run(key as u64, &mut link.quic, &mut sending.outgoing, share);
        self.activate(index);
        match step {
            LaneStep::Waiting => {}
            LaneStep::Done => {
                self.finish_lanes(token);
                self.end_sending(token, StreamCode::Cancelled, now);
                self.counters().object_sent();
                self.shared.api.publish(ApiEvent::ObjectSent(token));
            }
            LaneStep::Refused(code, why) => self.sending_failed(token, why, code, now),
            LaneStep::Wrong(why) => {
                self.sending_failed(token, &why, None, now);
                self.close(index, ConnectionCode::Protocol, &why, now);
            }
        }
    }

    /// Gives up on an object, and tells the caller why.
    pub(super) fn sending_failed(
        &mut self,
        token: StreamToken,
        why: &str,
        code: Option<StreamCode>,
        now: Instant,
    ) {
        if self.end_sending(token, StreamCode::Cancelled, now) {
            let reason = why.into();
            self.shared.api.publish(ApiEvent::Failed {
                token,
                reason,
                code,
            });
        }
    }

    /// Ends all lanes of an object; `false` when it was over already.
    pub(super) fn end_sending(
        &mut self,
        token: StreamToken,
        code: StreamCode,
        now: Instant,
    ) -> bool {
        let Some(sending) = self.objects.sending.remove(&token) else {
            self.objects.queued.retain(|queued| queued.token != token);
            return false;
        };
        for key in sending.lanes {
            self.end_flow(key, code, Outcome::Finished, now);
        }
        self.next_object(sending.outgoing.peer);
        true
    }

    /// The receiver has it all: lanes that are not within a shard end as streams should.
    fn finish_lanes(&mut self, token: StreamToken) {
        let Some(sending) = self.objects.sending.get(&token) else {
            return;
        };
        for key in &sending.lanes {
            let slot = &mut self.flows[*key];
            if let (Flow::Lane(lane), Some(index)) = (&mut slot.flow, slot.connection)
                && lane.pending.is_empty()
                && let Some(link) = self.links[index].as_mut()
            {
                lane.finished = link.quic.send_stream(lane.stream).finish().is_ok();
            }
        }
    }

    /// Has all lanes look for something to send.
    pub(super) fn queue_lanes(&mut self, token: StreamToken) {
        let lanes = self
            .objects
            .sending
            .get(&token)
            .map(|sending| sending.lanes.clone());
        for key in lanes.into_iter().flatten() {
            self.queue(key);
        }
    }
}
