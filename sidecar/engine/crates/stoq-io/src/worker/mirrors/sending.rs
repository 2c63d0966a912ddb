//! The stream of a copy: a SEED frame, then what the original's client says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Connection, FinishError, ReadError, StreamId, WriteError};
use stoq_frames::seed::{Next, SeedQueue};
use stoq_wire::code::StreamCode;
use stoq_wire::frame::Frame;
use stoq_wire::frame::seed::Seed;
use stoq_wire::head::{FlowId, StreamKind};

use super::super::labels::encode;
use super::super::observe::Outcome;
use super::super::{Direction, Flow, PeerKey, Worker};
use super::objects::ObjectCopy;
use crate::endpoints::OpenTo;
use crate::relay::TURN_BUDGET;

/// How long a shadow may take for what is left of a copy when its original has ended.
const LINGER: Duration = Duration::from_secs(30);

/// The same for all of an object: as long as the calls that send objects wait unless told otherwise.
const OBJECT_LINGER: Duration = Duration::from_secs(60);

/// How far a copy is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MirrorWay {
    /// Nothing was done yet.
    New,
    /// It waits for a connection.
    Waiting,
    /// It has a stream.
    Open(StreamId),
}

/// A copy of a flow on its way to a shadow.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) peer: PeerKey,
    pub(super) number: u64,
    pub(crate) way: MirrorWay,
    seed: Seed,
    /// The client of the original, and the shadow's application.
    ends: (SocketAddr, SocketAddr),
    pending: Bytes,
    /// What is copied, if that is an object: nothing of it goes through the queue.
    pub(super) object: Option<ObjectCopy>,
    /// Whether the end was sent.
    pub(crate) finished: bool,
    /// Whether the shadow has ended its direction.
    answered: bool,
    /// Counts it as a connection to its endpoint.
    _open: Option<OpenTo>,
}

/// What a turn of a copy came to.
enum Step {
    Waiting,
    /// There is more to be sent.
    More,
    /// All was sent, and the shadow has taken it.
    Whole,
    /// The shadow says something: it must not (M3).
    Spoke,
    Gone(Option<StreamCode>),
}

impl Mirror {
    pub(super) fn new(
        peer: PeerKey,
        number: u64,
        seed: Seed,
        ends: (SocketAddr, SocketAddr),
        open: Option<OpenTo>,
    ) -> Self {
        Self {
            peer,
            number,
            way: MirrorWay::New,
            seed,
            ends,
            pending: Bytes::new(),
            object: None,
            finished: false,
            answered: false,
            _open: open,
        }
    }

    /// Whether the shadow has had it all.
    pub(super) fn is_whole(&self) -> bool {
        self.finished && self.answered
    }

    /// Sends what waits as far as the stream takes it, and looks for the shadow's end. Returns how
    /// many bytes of the original were begun with.
    fn run(
        &mut self,
        queue: &mut SeedQueue,
        quic: &mut Connection,
        stream: StreamId,
    ) -> (Step, u64) {
        let mut moved = 0;
        let sent = self.send(queue, quic, stream, &mut moved);
        let step = match sent {
            Ok(more) => match self.listen(quic, stream) {
                None if self.is_whole() => Step::Whole,
                None if more => Step::More,
                None => Step::Waiting,
                Some(step) => step,
            },
            Err(WriteError::Stopped(code)) => Step::Gone(StreamCode::from_u64(code.into_inner())),
            Err(_) => Step::Gone(None),
        };
        (step, moved as u64)
    }

    /// `true` when the budget of a turn ran out first.
    fn send(
        &mut self,
        queue: &mut SeedQueue,
        quic: &mut Connection,
        stream: StreamId,
        moved: &mut usize,
    ) -> Result<bool, WriteError> {
        while !self.finished {
            if !self.pending.is_empty() {
                let mut chunks = [std::mem::take(&mut self.pending)];
                let written = quic.send_stream(stream).write_chunks(&mut chunks);
                let [rest] = chunks;
                self.pending = rest;
                match written {
                    Ok(_) => continue,
                    Err(WriteError::Blocked) => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if *moved >= TURN_BUDGET {
                return Ok(true);
            }
            let next = match &mut self.object {
                Some(object) => object.next(),
                None => queue.next(self.number),
            };
            match next {
                Next::Data(data) => {
                    *moved += data.len();
                    self.pending = data;
                }
                Next::Nothing => return Ok(false),
                Next::End => {
                    quic.send_stream(stream).finish().map_err(as_write_error)?;
                    self.finished = true;
                }
            }
        }
        Ok(false)
    }

    fn listen(&mut self, quic: &mut Connection, stream: StreamId) -> Option<Step> {
        if self.answered {
            return None;
        }
        let mut receive = quic.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else {
            return Some(Step::Gone(None));
        };
        match chunks.next(1) {
            Ok(Some(_)) => return Some(Step::Spoke),
            Ok(None) => self.answered = true,
            Err(ReadError::Blocked) => {}
            Err(ReadError::Reset(code)) => {
                return Some(Step::Gone(StreamCode::from_u64(code.into_inner())));
            }
        }
        None
    }
}

fn as_write_error(error: FinishError) -> WriteError {
    match error {
        FinishError::Stopped(code) => WriteError::Stopped(code),
        FinishError::ClosedStream => WriteError::ClosedStream,
    }
}

impl Worker {
    /// A stream for a copy is open: its head and SEED go first.
    pub(in super::super) fn open_mirror(
        &mut self,
        key: usize,
        stream: StreamId,
        mut mirror: Box<Mirror>,
        now: Instant,
    ) {
        let (source, destination) = mirror.ends;
        let mut info = self.info(Direction::Outbound, source, destination, now);
        info.flow = FlowId(mirror.seed.id);
        let mut first = encode(StreamKind::Frames, &info, false).to_vec();
        let written = Frame::Seed(mirror.seed.clone()).encode(&mut first);
        debug_assert!(written.is_ok(), "share and identity are within bounds");
        mirror.pending = first.into();
        mirror.way = MirrorWay::Open(stream);
        self.flows[key].flow = Flow::Mirror(mirror);
        self.queue(key);
    }

    pub(in super::super) fn run_mirror(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let Flow::Mirror(mirror) = &mut slot.flow else {
            return;
        };
        let stream = match mirror.way {
            MirrorWay::Open(stream) => stream,
            MirrorWay::Waiting => return,
            MirrorWay::New => {
                mirror.way = MirrorWay::Waiting;
                self.set_deadline(key, now + self.opening_timeout());
                return self.place(key, now);
            }
        };
        let queue = self.mirrors.queues.get_mut(&mirror.peer);
        let (Some(index), Some(queue)) = (slot.connection, queue) else {
            return;
        };
        let Some(link) = self.links[index].as_mut() else {
            return;
        };
        let (step, moved) = mirror.run(queue, &mut link.quic, stream);
        let lingers = queue.is_finished(mirror.number) && slot.deadline.is_none();
        let linger = match mirror.object {
            Some(_) => OBJECT_LINGER,
            None => LINGER,
        };
        self.counters().mirrored(moved);
        self.activate(index);
        match step {
            Step::Waiting | Step::More if lingers => {
                self.set_deadline(key, now + linger);
                self.queue(key);
            }
            Step::Waiting => {}
            Step::More => self.queue(key),
            Step::Whole => self.finish_flow(key, now),
            Step::Spoke => {
                let spoke = Outcome::Peer(Some(StreamCode::Denied));
                self.end_flow(key, StreamCode::Cancelled, spoke, now);
            }
            Step::Gone(code) => {
                self.end_flow(key, StreamCode::Cancelled, Outcome::Peer(code), now);
            }
        }
    }

    /// A copy took too long: to find a connection, or to be taken when its original had ended. One
    /// that was sent to its end counts as taken; its shadow just goes on reading.
    pub(in super::super) fn mirror_due(&mut self, key: usize, now: Instant) {
        let Flow::Mirror(mirror) = &mut self.flows[key].flow else {
            return;
        };
        let sent = mirror.finished;
        mirror.answered |= sent;
        let outcome = if sent {
            Outcome::Finished
        } else {
            Outcome::TimedOut
        };
        self.end_flow(key, StreamCode::Cancelled, outcome, now);
    }
}

#[cfg(test)]
mod tests;
