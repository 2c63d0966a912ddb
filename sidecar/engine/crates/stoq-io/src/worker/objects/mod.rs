//! Objects in shards: streams of kind 3, in both directions (`docs/wire-format.md`, section 13).
//!
//! What comes is read by [`received`], answered by [`answers`] and put together by the engine's
//! `ObjectHub`; what goes is shared out by [`sending`] over lanes, each a stream that begins with the
//! manifest.

mod answers;
mod asking;
mod lane;
mod places;
mod received;
mod sending;
mod signed;
mod taking;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{ReadError, StreamId, WriteError};
use stoq_frames::stream::{FrameReader, Item, StreamFault};
use stoq_wire::code::StreamCode;
use stoq_wire::extension::{Negotiated, SHARDS};
use stoq_wire::frame::Frame;
use stoq_wire::frame::carrier::takes_streams;

use super::{Link, Timer, Worker};
use crate::api::StreamToken;
use crate::mailbox::Command;
use crate::objects::{ObjectRequest, Outgoing};

pub(crate) use lane::Lane;
pub(super) use lane::shard_frame;
pub(crate) use places::LanePlace;
pub(crate) use received::FrameStream;
pub(crate) use signed::LinkSignatures;

use sending::Sending;

/// Bytes read from a stream at once.
const CHUNK: usize = 64 * 1024;

/// A worker's part of objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Flows that bring frames.
    received: BTreeSet<usize>,
    /// Objects that are sent.
    sending: HashMap<StreamToken, Sending>,
    /// Objects that wait for their turn.
    queued: VecDeque<Outgoing>,
    /// The flows of objects that are asked for.
    asking: HashMap<StreamToken, usize>,
    /// When a transfer may have taken too long.
    expiry: Option<Instant>,
}

impl Objects {
    /// A stream that brought frames is gone.
    pub(super) fn forget(&mut self, key: usize) {
        self.received.remove(&key);
    }

    /// Streams of kind 3, of both directions.
    pub(super) fn streams(&self) -> usize {
        let lanes: usize = self
            .sending
            .values()
            .map(|sending| sending.lanes.len())
            .sum();
        self.received.len() + lanes
    }
}

/// The frames of one direction of a stream.
#[derive(Debug)]
pub(super) struct Frames {
    reader: FrameReader,
    ended: bool,
}

/// What a stream has now.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame),
    /// Nothing more until more has come.
    Blocked,
    /// The peer has finished its direction.
    Ended,
    /// It has given up on it.
    Reset(Option<StreamCode>),
}

impl Frames {
    fn new(agreed: Negotiated, first: &[u8]) -> Self {
        let mut reader = FrameReader::new(agreed);
        reader.push(first);
        Self {
            reader,
            ended: false,
        }
    }

    /// Of what comes back on a stream that we began with a route.
    pub(super) fn of_tunnel(agreed: Negotiated) -> Self {
        Self {
            reader: FrameReader::of_tunnel(agreed),
            ended: false,
        }
    }

    /// What has come behind the frame that said that raw bytes follow.
    fn rest(&mut self) -> Result<Bytes, StreamFault> {
        match self.reader.next_item()? {
            Some(Item::Raw(raw)) => Ok(raw),
            Some(Item::Frame(_)) | None => Ok(Bytes::new()),
        }
    }

    /// The next frame; reads no more of the stream than that needs.
    pub(super) fn next(
        &mut self,
        quic: &mut quinn_proto::Connection,
        stream: StreamId,
    ) -> Result<Next, StreamFault> {
        loop {
            match self.reader.next_item()? {
                Some(Item::Frame(frame)) => return Ok(Next::Frame(frame)),
                Some(Item::Raw(_)) => continue,
                None if self.ended => return Ok(Next::Ended),
                None => {}
            }
            let mut receive = quic.recv_stream(stream);
            let Ok(mut chunks) = receive.read(true) else {
                return Ok(Next::Reset(None));
            };
            match chunks.next(CHUNK) {
                Ok(Some(chunk)) => self.reader.push(&chunk.bytes),
                Ok(None) => {
                    self.reader.finish()?;
                    self.ended = true;
                }
                Err(ReadError::Blocked) => return Ok(Next::Blocked),
                Err(ReadError::Reset(code)) => {
                    return Ok(Next::Reset(StreamCode::from_u64(code.into_inner())));
                }
            }
        }
    }
}

/// Writes as much of `pending` as the stream takes now; an error when it is gone.
pub(super) fn write(
    quic: &mut quinn_proto::Connection,
    stream: StreamId,
    pending: &mut Bytes,
) -> Result<(), WriteError> {
    while !pending.is_empty() {
        let mut chunks = [std::mem::take(pending)];
        let written = quic.send_stream(stream).write_chunks(&mut chunks);
        let [rest] = chunks;
        *pending = rest;
        match written {
            Ok(_) => {}
            Err(WriteError::Blocked) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a connection may use, if shards are among it.
fn agreed(link: Option<&Link>) -> Option<Negotiated> {
    let agreed = link?.evidence.as_ref()?.agreed;
    (agreed.extensions & SHARDS != 0).then_some(agreed)
}

/// What a connection may use, if streams of frames are among it (S5).
fn takes_frames(link: Option<&Link>) -> Option<Negotiated> {
    let agreed = link?.evidence.as_ref()?.agreed;
    takes_streams(agreed.extensions).then_some(agreed)
}

impl Worker {
    pub(super) fn object_request(&mut self, request: ObjectRequest, now: Instant) {
        match request {
            ObjectRequest::Send(outgoing) => self.send_object(*outgoing, now),
            ObjectRequest::Cancel(token) => {
                self.end_sending(token, StreamCode::Cancelled, now);
                self.stop_asking(token, now);
            }
            ObjectRequest::Ask(asked) => self.ask_for(asked, now),
            ObjectRequest::Mirror(mirror) => self.mirror_object(*mirror, now),
            ObjectRequest::Next(peer) => self.send_queued(&peer, now),
            ObjectRequest::Changed => {
                let keys: Vec<usize> = self.objects.received.iter().copied().collect();
                for key in keys {
                    self.queue(key);
                }
                self.watch_transfers();
            }
        }
    }

    /// Tells all workers that transfers have changed: streams may wait for that.
    fn transfers_changed(&self) {
        for mailbox in &self.shared.mailboxes {
            mailbox.post(Command::Objects(ObjectRequest::Changed));
        }
    }

    /// Looks after the end of transfers. A timer too many finds nothing to do.
    fn watch_transfers(&mut self) {
        let Some(at) = self.shared.objects.next_expiry() else {
            return;
        };
        if self.objects.expiry.is_none_or(|set| at < set) {
            self.objects.expiry = Some(at);
            self.timers.set(at, Timer::Transfers);
        }
    }

    pub(super) fn transfers_due(&mut self, now: Instant) {
        self.objects.expiry = None;
        let expired = self.shared.objects.expire(now);
        if expired > 0 {
            self.counters().objects_expired(expired as u64);
            self.transfers_changed();
        }
        self.watch_transfers();
    }
}
