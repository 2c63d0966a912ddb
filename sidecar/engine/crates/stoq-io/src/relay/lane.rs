//! A lane of a striped flow: records on a STOQ stream.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quinn_proto::{Connection, FinishError, ReadError, StreamId, WriteError};
use stoq_frames::stripe::{Fault as StripeFault, Stripe};
use stoq_wire::code::StreamCode;
use stoq_wire::stripe::{MAX_CHUNK, Record};

use super::{Fault, TURN_BUDGET};

/// A lane on its stream.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: u8,
    pub(crate) stream: StreamId,
    /// The stream may have bytes.
    pub(crate) readable: bool,
    /// The stream may take bytes.
    pub(crate) writable: bool,
    /// What came of a record that is not complete.
    begun: BytesMut,
    /// What the stream would not take yet.
    pending: VecDeque<Bytes>,
    /// Our direction has ended.
    pub(crate) finished: bool,
    /// The peer's has.
    ended: bool,
}

/// What a turn of a lane came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moved {
    /// Whether the flow is not what it was before.
    pub(crate) any: bool,
    /// Whether the budget ran out first.
    pub(crate) more: bool,
}

impl Lane {
    /// Lane `number`: `head` is sent first, `first` followed the peer's head.
    pub(crate) fn new(number: u8, stream: StreamId, head: Bytes, first: &[u8]) -> Self {
        Self {
            number,
            stream,
            readable: true,
            writable: true,
            begun: first.into(),
            pending: VecDeque::from([head]),
            finished: false,
            ended: false,
        }
    }

    /// Whether both directions have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.finished && self.ended
    }

    /// Takes what has come.
    pub(crate) fn read(
        &mut self,
        quic: &mut Connection,
        stripe: &mut Stripe,
    ) -> Result<Moved, Fault> {
        let mut moved = Moved::default();
        let mut bytes = 0;
        self.take_records(stripe, &mut moved)?;
        while self.readable && !self.ended {
            if bytes >= TURN_BUDGET {
                moved.more = true;
                break;
            }
            bytes += self.gather(quic)?;
            self.take_records(stripe, &mut moved)?;
            if self.ended {
                if !self.begun.is_empty() {
                    return Err(Fault::Stripe(StripeFault::Early));
                }
                stripe.lane_ended().map_err(Fault::Stripe)?;
                moved.any = true;
            }
        }
        Ok(moved)
    }

    fn take_records(&mut self, stripe: &mut Stripe, moved: &mut Moved) -> Result<(), Fault> {
        let wrong = |error| Fault::Stripe(StripeFault::Record(error));
        while let Some(record) = Record::take(&mut self.begun).map_err(wrong)? {
            stripe.take(record).map_err(Fault::Stripe)?;
            moved.any = true;
        }
        Ok(())
    }

    /// Reads about as much as the longest record.
    fn gather(&mut self, quic: &mut Connection) -> Result<usize, Fault> {
        let mut receive = quic.recv_stream(self.stream);
        let mut chunks = receive.read(true).map_err(|_| Fault::Peer(None))?;
        let mut bytes = 0;
        while bytes < MAX_CHUNK {
            match chunks.next(MAX_CHUNK) {
                Ok(Some(chunk)) => {
                    bytes += chunk.bytes.len();
                    self.begun.extend_from_slice(&chunk.bytes);
                }
                Ok(None) => {
                    self.readable = false;
                    self.ended = true;
                    break;
                }
                Err(ReadError::Blocked) => {
                    self.readable = false;
                    break;
                }
                Err(ReadError::Reset(code)) => {
                    return Err(Fault::Peer(StreamCode::from_u64(code.into_inner())));
                }
            }
        }
        Ok(bytes)
    }

    /// Sends what is due on it, and its end when the flow is over.
    pub(crate) fn write(
        &mut self,
        quic: &mut Connection,
        stripe: &mut Stripe,
    ) -> Result<Moved, Fault> {
        let mut moved = Moved::default();
        let mut bytes = 0;
        while self.writable && !self.finished {
            if let Some(mut piece) = self.pending.pop_front() {
                bytes += self.offer(quic, &mut piece)?;
                if !piece.is_empty() {
                    self.pending.push_front(piece);
                }
                continue;
            }
            if bytes >= TURN_BUDGET {
                moved.more = true;
                break;
            }
            if let Some(record) = stripe.next(self.number) {
                let (head, data) = record.encode();
                self.pending.push_back(head);
                self.pending.push_back(data);
                moved.any = true;
            } else if stripe.is_finished() {
                self.finish(quic)?;
                moved.any = true;
            } else {
                break;
            }
        }
        Ok(moved)
    }

    /// Offers a piece, of which what is not taken is left. Only after it has said Blocked does
    /// quinn-proto tell when to go on.
    fn offer(&mut self, quic: &mut Connection, piece: &mut Bytes) -> Result<usize, Fault> {
        if piece.is_empty() {
            return Ok(0);
        }
        let mut chunks = [std::mem::take(piece)];
        let result = quic.send_stream(self.stream).write_chunks(&mut chunks);
        let [rest] = chunks;
        *piece = rest;
        match result {
            Ok(written) => Ok(written.bytes),
            Err(WriteError::Blocked) => {
                self.writable = false;
                Ok(0)
            }
            Err(WriteError::Stopped(code)) => {
                Err(Fault::Peer(StreamCode::from_u64(code.into_inner())))
            }
            Err(WriteError::ClosedStream) => Err(Fault::Peer(None)),
        }
    }

    fn finish(&mut self, quic: &mut Connection) -> Result<(), Fault> {
        self.finished = true;
        match quic.send_stream(self.stream).finish() {
            Ok(()) => Ok(()),
            Err(FinishError::Stopped(code)) => {
                Err(Fault::Peer(StreamCode::from_u64(code.into_inner())))
            }
            Err(FinishError::ClosedStream) => Err(Fault::Peer(None)),
        }
    }
}
