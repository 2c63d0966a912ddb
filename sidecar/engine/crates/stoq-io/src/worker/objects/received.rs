//! Streams that bring frames: shards, a route, which makes the stream a tunnel, or the copy of a
//! flow.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::StreamId;
use stoq_frames::signed::SignatureRefusal;
use stoq_frames::stream::StreamFault;
use stoq_wire::code::{ConnectionCode, StreamCode};
use stoq_wire::frame::Frame;
use stoq_wire::frame::hop::{Hop, Route};
use stoq_wire::frame::seed::Seed;
use stoq_wire::frame::shard::{Shard, ShardBody, TransferId};
use stoq_wire::head::StreamHead;

use super::super::hops::Proof;
use super::super::observe::Outcome;
use super::super::{Flow, Worker};
use super::signed::SignedStream;
use super::taking::Way;
use super::{Frames, Next, takes_frames, write};
use crate::objects::{Answer, Asked, Progress, Taken};

/// Streams with frames that a worker has at once. Each keeps a frame that is not whole.
const MOST: usize = 256;

/// Of those, streams of one identity, which may have many connections: some stay for others.
const MOST_OF_PEER: usize = 192;

/// And streams of one connection.
const MOST_OF_CONNECTION: usize = 32;

/// How long data waits for its manifest (D2), and a stream may bring nothing that begins anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stream of kind 3 that a peer has opened.
#[derive(Debug)]
pub(crate) struct FrameStream {
    pub(crate) stream: StreamId,
    /// Of a stream that a peer has opened.
    head: Option<StreamHead>,
    pub(in super::super) frames: Frames,
    /// Who began the route that is to come.
    pub(in super::super) proof: Proof,
    /// What it brings is a copy of an object.
    pub(in super::super) copy: Option<Seed>,
    /// What it brings was asked for on it, until it is whole.
    pub(in super::super) asks: Option<Asked>,
    /// What its peer has asked for, and whether it took something of it since that was looked at.
    pub(super) answer: Option<Answer>,
    moved: bool,
    /// Who signs what comes on it.
    pub(super) signed: SignedStream,
    /// A frame that has to wait, and whether that is for its manifest.
    held: Option<(Shard, bool)>,
    /// Transfers whose manifest came on it, and that have not been answered to the end.
    pub(super) asked: Vec<TransferId>,
    /// Answers that are not sent yet.
    pub(super) pending: Bytes,
    ended: bool,
}

/// What a turn of a stream came to.
pub(super) enum Step {
    Waiting,
    Ended,
    /// It is no transfer but a tunnel.
    Route(Route),
    /// What was asked for has come.
    Enough,
    Refused(StreamCode, String),
    Wrong(ConnectionCode, String),
    Gone(Option<StreamCode>),
    /// A copy of something follows.
    Mirror(Seed),
}

impl Worker {
    /// A peer has opened a stream for frames; `first` followed its `head`.
    pub(in super::super) fn accept_frames(
        &mut self,
        key: usize,
        index: usize,
        stream: StreamId,
        head: &StreamHead,
        first: &Bytes,
        now: Instant,
    ) {
        let full = self.has_too_many(index);
        let link = self.links[index].as_deref();
        let why = match takes_frames(link) {
            _ if full => "too many streams bring frames",
            None => "no frames are in use on this connection",
            Some(agreed) => {
                let frames = FrameStream {
                    head: Some(*head),
                    ..FrameStream::new(stream, Frames::new(agreed, first))
                };
                self.flows[key].flow = Flow::Frames(Box::new(frames));
                self.objects.received.insert(key);
                return self.run_frames(key, now);
            }
        };
        self.counters().stream_refused(StreamCode::Denied);
        let outcome = Outcome::Refused(why.to_owned());
        self.end_flow(key, StreamCode::Denied, outcome, now);
    }

    /// Whether a connection, its peer or all of them have as many streams with frames as may be.
    fn has_too_many(&self, index: usize) -> bool {
        let identity = |index: usize| {
            let evidence = self.links[index].as_ref()?.evidence.as_ref()?;
            Some(evidence.peer.as_ref()?.spiffe.clone())
        };
        let peer = identity(index);
        let (mut of_connection, mut of_peer) = (0, 0);
        for key in &self.objects.received {
            let slot = self.flows.get(*key);
            if let Some(other) = slot.and_then(|slot| slot.connection) {
                of_connection += usize::from(other == index);
                of_peer += usize::from(other == index || identity(other) == peer);
            }
        }
        self.objects.received.len() >= MOST
            || of_peer >= MOST_OF_PEER
            || of_connection >= MOST_OF_CONNECTION
    }

    /// Takes what a stream has, as far as there is room for it.
    pub(in super::super) fn run_frames(&mut self, key: usize, now: Instant) {
        let Some(index) = self.flows[key].connection else {
            return;
        };
        let step = self.read_frames(key, index, now);
        self.activate(index);
        match step {
            Step::Waiting => self.watch_frames(key, now),
            Step::Ended => self.finish_flow(key, now),
            Step::Route(route) => self.take_route(key, index, route, now),
            Step::Enough => self.end_flow(key, StreamCode::Cancelled, Outcome::Finished, now),
            Step::Gone(code) => {
                self.end_flow(key, StreamCode::Cancelled, Outcome::Peer(code), now);
            }
            Step::Refused(code, why) => {
                self.counters().stream_refused(code);
                self.shared
                    .log
                    .debug(format_args!("a stream of shards is refused: {why}"));
                self.end_flow(key, code, Outcome::Refused(why), now);
            }
            Step::Mirror(seed) => self.accept_mirror(key, index, &seed, now),
            Step::Wrong(code, why) => self.close(index, code, &why, now),
        }
    }

    fn read_frames(&mut self, key: usize, index: usize, now: Instant) -> Step {
        loop {
            let (Some(link), Flow::Frames(frames)) =
                (self.links[index].as_mut(), &mut self.flows[key].flow)
            else {
                return Step::Waiting;
            };
            if !frames.pending.is_empty() {
                // Who does not read our answers has to wait with further questions.
                if !matches!(
                    write(&mut link.quic, frames.stream, &mut frames.pending),
                    Ok(())
                ) {
                    return Step::Gone(None);
                }
                if !frames.pending.is_empty() {
                    return Step::Waiting;
                }
            }
            if let Some(answer) = &mut frames.answer {
                let Some(frame) = answer.next() else {
                    let _ = link.quic.send_stream(frames.stream).finish();
                    return Step::Ended;
                };
                (frames.pending, frames.moved) = (frame, true);
                continue;
            }
            let shard = match frames.held.take() {
                Some((shard, _)) => shard,
                None => match frames.frames.next(&mut link.quic, frames.stream) {
                    Ok(Next::Frame(Frame::Shard(shard))) => shard,
                    Ok(Next::Frame(Frame::Seed(seed))) if frames.asks.is_none() => {
                        return Step::Mirror(seed);
                    }
                    Ok(Next::Frame(Frame::Hop(Hop::Open(route)))) if frames.asks.is_none() => {
                        return Step::Route(route);
                    }
                    Ok(Next::Frame(frame)) if frames.proof.takes(&frame) => continue,
                    Ok(Next::Frame(frame @ (Frame::Key(_) | Frame::Signature(_)))) => {
                        match self.take_vouching(key, index, frame, now) {
                            Some(step) => return step,
                            None => continue,
                        }
                    }
                    Ok(Next::Frame(other)) => {
                        let why = format!("a {} frame is not taken here", other.kind().name());
                        return Step::Refused(StreamCode::Denied, why);
                    }
                    Ok(Next::Blocked) => return self.answer(key, index),
                    Ok(Next::Ended) => {
                        frames.ended = true;
                        return self.all_has_come(key, index);
                    }
                    Ok(Next::Reset(code)) => return Step::Gone(code),
                    Err(fault) => {
                        return Step::Wrong(ConnectionCode::Protocol, fault.to_string());
                    }
                },
            };
            if let Some(step) = self.take_shard(key, index, shard, now) {
                return step;
            }
        }
    }

    /// The peer has ended its direction. Of a copy all must be there then (M7), and of what was asked
    /// for.
    fn all_has_come(&mut self, key: usize, index: usize) -> Step {
        let Flow::Frames(frames) = &self.flows[key].flow else {
            return Step::Waiting;
        };
        let whole =
            |copy: &Seed| self.shared.objects.progress(TransferId(copy.id)) == Progress::Whole;
        if frames.asks.is_some() || !frames.copy.as_ref().is_none_or(whole) {
            let why = "the stream has ended before its object".to_owned();
            return Step::Refused(StreamCode::Incomplete, why);
        }
        self.answer(key, index)
    }

    /// Puts a frame where it belongs; none when the next one may come.
    fn take_shard(&mut self, key: usize, index: usize, shard: Shard, now: Instant) -> Option<Step> {
        if let ShardBody::Want(ranges) = &shard.body {
            return self.begin_answer(key, index, shard.transfer, ranges);
        }
        let (transfer, begins) = (shard.transfer, matches!(shard.body, ShardBody::Manifest(_)));
        let held = shard.clone();
        let Flow::Frames(frames) = &self.flows[key].flow else {
            return None;
        };
        let (copy, asks) = (frames.copy.clone(), frames.asks.clone());
        let proof = frames.signed.proof.clone();
        let named = copy.as_ref().map(|copy| TransferId(copy.id));
        let named = named.or(asks.as_ref().map(|asks| asks.transfer));
        if named.is_some_and(|named| named != transfer) {
            let why = "another object comes than the one that was named".to_owned();
            return Some(Step::Refused(StreamCode::BadShard, why));
        }
        if begins
            && let Some(proof) = &proof
            && !proof.covers(&held)
        {
            return Some(self.not_signed(index, &SignatureRefusal::OtherContent.into()));
        }
        let way = Way {
            copy_of: copy.as_ref().map(|copy| copy.primary.as_str()),
            asked: asks.as_ref(),
            proof: proof.as_ref().filter(|_| begins),
        };
        let taken = match self.put_shard(index, shard, way, now)? {
            Ok(taken) => taken,
            Err(refused) => return Some(Step::Refused(refused.code(), refused.to_string())),
        };
        if matches!(taken, Taken::Early | Taken::NoRoom) {
            if let Flow::Frames(frames) = &mut self.flows[key].flow {
                frames.held = Some((held, taken == Taken::Early));
            }
            return Some(self.answer(key, index));
        }
        self.cancel_deadline(key);
        let Flow::Frames(frames) = &mut self.flows[key].flow else {
            return None;
        };
        if begins {
            frames.signed.proof = None;
        }
        if let Some(asks) = asks {
            if taken == Taken::Whole {
                frames.asks = None;
                self.objects.asking.remove(&asks.token);
                return Some(Step::Enough);
            }
            // For as long as something new comes, there is no hurry.
            self.set_deadline(key, now + PATIENCE);
        } else if begins {
            frames.ask(transfer);
            if copy.is_none() {
                self.tell_missing(key, transfer);
            }
        }
        None
    }

    /// A stream that brings nothing that begins anything ends by itself; one that waits for room,
    /// or for the rest of a transfer, does not (D9): the end of the transfer ends it.
    fn watch_frames(&mut self, key: usize, now: Instant) {
        let slot = &mut self.flows[key];
        let Flow::Frames(frames) = &mut slot.flow else {
            return;
        };
        if std::mem::take(&mut frames.moved) {
            return self.set_deadline(key, now + PATIENCE);
        }
        let due = match &frames.held {
            _ if frames.asks.is_some() => true,
            Some((_, early)) => *early,
            None => frames.asked.is_empty(),
        };
        if !due {
            self.cancel_deadline(key);
        } else if slot.deadline.is_none() {
            self.set_deadline(key, now + PATIENCE);
        }
    }
}

impl FrameStream {
    /// The head of its stream, and what has come behind its last frame.
    pub(in super::super) fn behind(&mut self) -> Result<(Option<StreamHead>, Bytes), StreamFault> {
        Ok((self.head, self.frames.rest()?))
    }

    pub(super) fn new(stream: StreamId, frames: Frames) -> Self {
        Self {
            stream,
            head: None,
            frames,
            proof: Proof::default(),
            copy: None,
            asks: None,
            answer: None,
            moved: false,
            signed: SignedStream::default(),
            held: None,
            asked: Vec::new(),
            pending: Bytes::new(),
            ended: false,
        }
    }

    /// The transfer's manifest has come on this stream: it is answered here.
    fn ask(&mut self, transfer: TransferId) {
        if !self.asked.contains(&transfer) {
            self.asked.push(transfer);
        }
    }

    /// Whether nothing more will come and nothing is to be said.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.held.is_none() && self.asked.is_empty() && self.pending.is_empty()
    }
}
