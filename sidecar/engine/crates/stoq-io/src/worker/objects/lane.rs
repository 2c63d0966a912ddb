//! One lane of an object that is sent: a stream with the manifest, and shards for as long as some
//! are left.

use bytes::Bytes;
use quinn_proto::StreamId;
use stoq_wire::code::StreamCode;
use stoq_wire::extension::Negotiated;
use stoq_wire::frame::Frame;
use stoq_wire::frame::shard::{MAX_RANGES, Range, Shard, ShardBody, TransferId};

use super::{Frames, Next, write};
use crate::api::StreamToken;
use crate::objects::Outgoing;

/// A lane on its stream.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) token: StreamToken,
    pub(crate) stream: StreamId,
    frames: Frames,
    pub(super) pending: Bytes,
    /// Whether our direction has ended as it should.
    pub(crate) finished: bool,
    /// Nothing but the manifest is sent before the receiver has said what is missing: it may have no
    /// room yet, and data that it does not read would use up the window of all streams beside it.
    asks: bool,
    /// Shards that it has taken.
    taken: u64,
}

/// What a turn of a lane came to.
pub(super) enum LaneStep {
    Waiting,
    /// The receiver has the object.
    Done,
    /// The receiver does not take it.
    Refused(Option<StreamCode>, &'static str),
    /// What the receiver says is no frame that may be there.
    Wrong(String),
}

impl Lane {
    /// On a stream that is open; `first` is its head and the manifest.
    pub(super) fn new(
        token: StreamToken,
        stream: StreamId,
        agreed: Negotiated,
        first: Bytes,
    ) -> Self {
        Self {
            token,
            stream,
            frames: Frames::new(agreed, &[]),
            pending: first,
            finished: false,
            asks: true,
            taken: 0,
        }
    }

    /// Reads answers and sends shards as far as both go now; `share` bounds how many shards are
    /// taken. `key` names the lane.
    pub(super) fn run(
        &mut self,
        key: u64,
        quic: &mut quinn_proto::Connection,
        outgoing: &mut Outgoing,
        share: u64,
    ) -> LaneStep {
        loop {
            match self.frames.next(quic, self.stream) {
                Ok(Next::Frame(Frame::Shard(Shard {
                    transfer,
                    body: ShardBody::Want(ranges),
                }))) if transfer == outgoing.transfer => {
                    if ranges.is_empty() {
                        return LaneStep::Done;
                    }
                    outgoing.keep(&ranges);
                    self.asks = false;
                }
                Ok(Next::Frame(_)) => {
                    return LaneStep::Refused(None, "the peer answers with something else");
                }
                Ok(Next::Blocked) => break,
                Ok(Next::Ended) => {
                    return LaneStep::Refused(None, "the peer ended without having it all");
                }
                Ok(Next::Reset(code)) => return LaneStep::Refused(code, "the peer gave up on it"),
                Err(fault) => return LaneStep::Wrong(fault.to_string()),
            }
        }
        loop {
            if write(quic, self.stream, &mut self.pending).is_err() {
                // Its reset, or the end of the connection, follows and says why.
                return LaneStep::Waiting;
            }
            if !self.pending.is_empty() || self.asks || self.taken >= share {
                return LaneStep::Waiting;
            }
            let Some(index) = outgoing.shards.next(key) else {
                return LaneStep::Waiting;
            };
            self.taken += 1;
            self.pending = shard_frame(
                outgoing.transfer,
                &outgoing.object,
                outgoing.shard_size,
                index,
            );
        }
    }
}

impl Outgoing {
    /// How many shards it has.
    pub(super) fn count(&self) -> u64 {
        (self.object.len() as u64).div_ceil(self.shard_size)
    }

    /// The receiver misses these ranges, and nothing else before the end of the last.
    fn keep(&mut self, ranges: &[Range]) {
        let size = self.shard_size;
        let more = ranges.len() == MAX_RANGES;
        let end = ranges.last().map_or(0, |last| last.offset + last.length);
        self.shards.keep(|index| {
            let offset = index * size;
            let behind = ranges.partition_point(|range| range.offset <= offset);
            let within = behind.checked_sub(1).map(|at| ranges[at]);
            within.is_some_and(|range| offset < range.offset + range.length)
                || (more && offset >= end)
        });
    }
}

/// The frame of one shard of an object.
pub(in super::super) fn shard_frame(
    transfer: TransferId,
    object: &Bytes,
    shard_size: u64,
    index: u64,
) -> Bytes {
    let offset = index * shard_size;
    let end = (offset + shard_size).min(object.len() as u64);
    let data = object.slice(offset as usize..end as usize);
    let mut encoded = Vec::with_capacity(data.len() + 64);
    let body = ShardBody::Object { offset, data };
    let written = Frame::Shard(Shard { transfer, body }).encode(&mut encoded);
    debug_assert!(
        written.is_ok(),
        "the shard size was held against its bounds"
    );
    encoded.into()
}
