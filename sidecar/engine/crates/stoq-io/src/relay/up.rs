//! From the application to the stream.

use std::io::{self, Read};

use bytes::Bytes;
use mio::net::TcpStream;
use quinn_proto::{Connection, FinishError, StreamId, WriteError};
use stoq_wire::code::StreamCode;

use super::tee::Tee;
use super::tokens::Sealer;
use super::{Fault, Half, READ, Ready, TURN_BUDGET};
use crate::pool::BlockPool;

/// Most bytes kept to be said again: one read. An application that says more before it has
/// had an answer is not repeated.
pub(super) const KEPT: usize = READ;

/// What an application has said so far, to be said again elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Its first bytes, all of them.
    pub(crate) bytes: Vec<u8>,
    /// Whether they were its last.
    pub(crate) ended: bool,
}

/// The sending direction of a relay.
#[derive(Debug)]
pub(crate) struct Up {
    pending: Bytes,
    half: Half,
    /// Everything read so far, while it may have to be said again.
    kept: Option<Vec<u8>>,
    /// Where tokens are in use.
    sealer: Option<Box<Sealer>>,
    /// Where the flow is copied.
    tee: Option<Box<Tee>>,
    /// What the application says is read and thrown away.
    silent: bool,
    /// Application bytes handed to the stream.
    pub(crate) bytes: u64,
}

impl Up {
    /// A direction whose stream begins with `head`, which is not counted, and goes on with what
    /// was `said` already, behind tokens if there is a `sealer`. With `keep` it may have to be said
    /// once more. What is said goes into the `tee` too.
    pub(crate) fn new(
        head: Bytes,
        said: Said,
        keep: bool,
        mut sealer: Option<Box<Sealer>>,
        mut tee: Option<Box<Tee>>,
    ) -> Self {
        if let Some(tee) = &mut tee {
            tee.offer(Bytes::copy_from_slice(&said.bytes));
        }
        let half = if said.ended { Half::Ending } else { Half::Open };
        let pending = match &mut sealer {
            _ if said.bytes.is_empty() => head,
            None => [&head[..], &said.bytes[..]].concat().into(),
            Some(sealer) => {
                sealer.push(Bytes::copy_from_slice(&said.bytes));
                head
            }
        };
        Self {
            pending,
            half,
            sealer,
            tee,
            silent: false,
            bytes: said.bytes.len() as u64,
            kept: keep.then_some(said.bytes),
        }
    }

    /// A direction in which nothing but the end is passed on (M3).
    pub(crate) fn silent() -> Self {
        Self {
            silent: true,
            ..Self::new(Bytes::new(), Said::default(), false, None, None)
        }
    }

    /// The copies of the flow, with what is to be added to them.
    pub(crate) fn tee(&mut self) -> &mut Option<Box<Tee>> {
        &mut self.tee
    }

    /// What the application has said, if all of it was kept.
    pub(crate) fn take_said(&mut self) -> Option<Said> {
        Some(Said {
            bytes: self.kept.take()?,
            ended: self.half != Half::Open,
        })
    }

    /// Whether all that the application has said was kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Keeps what was read while there is room for all of it.
    fn keep(&mut self) {
        if let Some(kept) = &mut self.kept {
            match kept.len() + self.pending.len() <= KEPT {
                true => kept.extend_from_slice(&self.pending),
                false => self.kept = None,
            }
        }
    }

    /// Whether the end was passed on.
    pub(crate) fn ended(&self) -> bool {
        self.half == Half::Ended
    }

    /// Moves what can be moved; `true` when the budget ran out first.
    pub(crate) fn run(
        &mut self,
        tcp: &mut TcpStream,
        ready: &mut Ready,
        connection: &mut Connection,
        stream: StreamId,
        blocks: &mut BlockPool,
    ) -> Result<bool, Fault> {
        let mut moved = 0;
        while self.half != Half::Ended && ready.stream_write {
            if !self.pending.is_empty() {
                moved += self.offer(ready, connection, stream)?;
                continue;
            }
            if let Some(part) = self.sealer.as_mut().and_then(|sealer| sealer.next_part()) {
                self.pending = part;
                continue;
            }
            if let Some(tee) = &mut self.tee {
                tee.taken();
            }
            if self.half == Half::Ending {
                self.finish(connection, stream)?;
                break;
            }
            if moved >= TURN_BUDGET {
                return Ok(true);
            }
            if !ready.tcp_read || !self.read(tcp, ready, blocks)? {
                break;
            }
            if self.silent {
                moved += std::mem::take(&mut self.pending).len();
            }
        }
        Ok(false)
    }

    /// Offers the pending bytes. quinn-proto takes a part when windows are short;
    /// only after it has said Blocked does it tell when to go on.
    fn offer(
        &mut self,
        ready: &mut Ready,
        connection: &mut Connection,
        stream: StreamId,
    ) -> Result<usize, Fault> {
        let mut chunks = [std::mem::take(&mut self.pending)];
        let result = connection.send_stream(stream).write_chunks(&mut chunks);
        let [rest] = chunks;
        self.pending = rest;
        match result {
            Ok(written) => Ok(written.bytes),
            Err(WriteError::Blocked) => {
                ready.stream_write = false;
                Ok(0)
            }
            Err(WriteError::Stopped(code)) => {
                Err(Fault::Peer(StreamCode::from_u64(code.into_inner())))
            }
            Err(WriteError::ClosedStream) => Err(Fault::Peer(None)),
        }
    }

    /// Reads once; `false` when nothing came.
    fn read(
        &mut self,
        tcp: &mut TcpStream,
        ready: &mut Ready,
        blocks: &mut BlockPool,
    ) -> Result<bool, Fault> {
        let space = blocks.space(READ);
        let room = space.len();
        match tcp.read(space) {
            Ok(0) => {
                ready.tcp_read = false;
                self.half = Half::Ending;
                Ok(true)
            }
            Ok(length) => {
                // Less than there was room for: the socket is empty, and the next
                // arrival is a new edge (epoll(7)).
                ready.tcp_read = length == room || ready.tcp_end;
                self.pending = blocks.take_frozen(length);
                if self.silent {
                    return Ok(true);
                }
                self.bytes += length as u64;
                self.keep();
                if let Some(tee) = &mut self.tee {
                    tee.offer(self.pending.clone());
                }
                if let Some(sealer) = &mut self.sealer {
                    sealer.push(std::mem::take(&mut self.pending));
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready.tcp_read = false;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(Fault::Application(error)),
        }
    }

    fn finish(&mut self, connection: &mut Connection, stream: StreamId) -> Result<(), Fault> {
        self.half = Half::Ended;
        match connection.send_stream(stream).finish() {
            Ok(()) => Ok(()),
            Err(FinishError::Stopped(code)) => {
                Err(Fault::Peer(StreamCode::from_u64(code.into_inner())))
            }
            Err(FinishError::ClosedStream) => Err(Fault::Peer(None)),
        }
    }
}
