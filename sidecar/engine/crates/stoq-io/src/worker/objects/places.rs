//! Lanes before they are open, and after they have ended.

use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::StreamId;
use stoq_wire::head::StreamKind;

use super::super::labels::encode;
use super::super::observe::Outcome;
use super::super::peers::PoolLimits;
use super::super::{Direction, Flow, PeerKey, Worker};
use super::agreed;
use super::lane::Lane;
use crate::api::StreamToken;

/// A lane that waits for a connection.
#[derive(Debug)]
pub(crate) struct LanePlace {
    token: StreamToken,
    pub(crate) peer: PeerKey,
    /// Connections that its object is to have.
    connections: usize,
    /// It takes the place of one that was lost.
    again: bool,
}

impl LanePlace {
    /// A connection of its own, as far as the pool allows.
    pub(crate) fn limits(&self, pool: PoolLimits) -> PoolLimits {
        PoolLimits {
            streams: 1,
            connections: self.connections.min(pool.connections),
        }
    }
}

/// A lane that is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedLane {
    pub(crate) token: StreamToken,
    /// It had no connection yet.
    pub(crate) waited: bool,
    /// Its place is taken by another when its connection was lost. When the first dial fails,
    /// nothing was lost yet, and the caller hears of it at once.
    pub(crate) again: bool,
}

impl LanePlace {
    /// What is to be known when it ends.
    pub(crate) fn ended(&self) -> EndedLane {
        EndedLane {
            token: self.token,
            waited: true,
            again: self.again,
        }
    }
}

impl Lane {
    /// What is to be known when it ends.
    pub(crate) fn ended(&self) -> EndedLane {
        EndedLane {
            token: self.token,
            waited: false,
            again: true,
        }
    }
}

impl Worker {
    pub(super) fn add_lane(
        &mut self,
        token: StreamToken,
        again: bool,
        now: Instant,
    ) -> Option<usize> {
        let sending = self.objects.sending.get(&token)?;
        let place = LanePlace {
            token,
            peer: sending.outgoing.peer.clone(),
            connections: sending.outgoing.lanes.into(),
            again,
        };
        let key = self.insert_flow(Flow::LaneWaiting(place), None);
        let sending = self.objects.sending.get_mut(&token)?;
        sending.lanes.push(key);
        sending.waiting += 1;
        self.set_deadline(key, now + self.opening_timeout());
        Some(key)
    }

    /// Whether a connection's peer takes the object's shards; if not, the object has failed.
    pub(in super::super) fn lane_possible(
        &mut self,
        key: usize,
        index: usize,
        now: Instant,
    ) -> bool {
        let Flow::LaneWaiting(place) = &self.flows[key].flow else {
            return true;
        };
        let token = place.token;
        let outgoing = self.objects.sending.get(&token);
        let outgoing = outgoing.map(|sending| &sending.outgoing);
        let size = outgoing.map(|outgoing| outgoing.shard_size);
        let signs = outgoing.is_some_and(|outgoing| !outgoing.proof.is_empty());
        let agreed = agreed(self.links[index].as_deref()).unwrap_or_default();
        let (takes, signatures) = (agreed.send_shard, agreed.signatures());
        let why = match size {
            Some(size) if size <= takes && (signatures || !signs) => return true,
            Some(size) if size <= takes => {
                "the peer takes no signatures, as its engine is older: send the object unsigned"
                    .to_owned()
            }
            _ if takes == 0 => "the peer takes no shards: it does not offer them, or we do not \
                                (STOQ_FRAMES_MAX_SHARD)"
                .to_owned(),
            size => format!(
                "the peer takes shards of at most {takes} bytes, and these have {}",
                size.unwrap_or(0)
            ),
        };
        self.sending_failed(token, &why, None, now);
        false
    }

    /// A stream for a waiting lane is open.
    pub(in super::super) fn open_lane(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        place: &LanePlace,
        now: Instant,
    ) {
        let link = self.links[index].as_deref();
        let remote = link.map(|link| link.quic.remote_address());
        let agreed = agreed(link).unwrap_or_default();
        let info = self.info(
            Direction::Outbound,
            remote.unwrap_or(place.peer.address),
            place.peer.address,
            now,
        );
        let Some(sending) = self.objects.sending.get_mut(&place.token) else {
            return;
        };
        sending.waiting = sending.waiting.saturating_sub(1);
        let mut first = BytesMut::from(&encode(StreamKind::Frames, &info, false)[..]);
        first.extend_from_slice(&sending.outgoing.proof);
        first.extend_from_slice(&sending.outgoing.manifest);
        let lane = Lane::new(place.token, stream, agreed, first.freeze());
        self.flows[key].flow = Flow::Lane(Box::new(lane));
        self.queue_lanes(place.token);
    }

    /// A lane is gone. Another takes its place when only its connection was lost.
    pub(in super::super) fn lane_ended(
        &mut self,
        key: usize,
        lane: EndedLane,
        outcome: &Outcome,
        now: Instant,
    ) {
        let EndedLane {
            token,
            waited,
            again,
        } = lane;
        let Some(sending) = self.objects.sending.get_mut(&token) else {
            return;
        };
        sending.lanes.retain(|lane| *lane != key);
        sending.outgoing.shards.lost(key as u64);
        if waited {
            sending.waiting = sending.waiting.saturating_sub(1);
        }
        let lost = matches!(outcome, Outcome::Connection { .. } | Outcome::TimedOut);
        if lost && again && sending.again > 0 && !self.stop {
            sending.again -= 1;
            if let Some(key) = self.add_lane(token, true, now) {
                self.place(key, now);
            }
        } else if !lost || sending.lanes.is_empty() {
            let why = outcome.to_string();
            return self.sending_failed(token, &why, outcome.code(), now);
        }
        self.queue_lanes(token);
    }
}
