//! From the stream to the application.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;

use bytes::Bytes;
use mio::net::TcpStream;
use quinn_proto::{Connection, ReadError, ReadableError, StreamId};
use stoq_wire::code::StreamCode;

use super::tokens::Opener;
use super::{Fault, Half, Ready, TURN_BUDGET};

/// Pieces handed to one `writev`: a GRO batch of 64 packets and some.
pub(super) const SLICES: usize = 128;

/// The receiving direction of a relay.
#[derive(Debug)]
pub(crate) struct Down {
    /// What was taken from the stream and the socket would not take yet.
    held: VecDeque<Bytes>,
    half: Half,
    /// Where tokens are in use.
    opener: Option<Box<Opener>>,
    /// Bytes handed to the application.
    pub(crate) bytes: u64,
}

/// Pieces between a read and the write that follows it; empty in between, so one
/// per worker is enough.
pub(crate) type Scratch = VecDeque<Bytes>;

impl Down {
    /// A direction that begins with `first`, which came along with the stream head, and has
    /// tokens if there is an `opener`.
    pub(crate) fn new(first: Bytes, mut opener: Option<Box<Opener>>) -> Self {
        let mut held = VecDeque::new();
        match &mut opener {
            _ if first.is_empty() => {}
            None => held.push_back(first),
            Some(opener) => opener.begin(first),
        }
        Self {
            held,
            half: Half::Open,
            opener,
            bytes: 0,
        }
    }

    /// Whether anything has come, be it only the end.
    pub(crate) fn begun(&self) -> bool {
        let unverified = self.opener.as_ref().is_some_and(|opener| opener.begun());
        self.bytes > 0 || !self.held.is_empty() || self.half != Half::Open || unverified
    }

    /// Whether the end was passed on.
    pub(crate) fn ended(&self) -> bool {
        self.half == Half::Ended
    }

    /// Whether the application does not take what has arrived for it.
    pub(crate) fn stalled(&self) -> bool {
        !self.held.is_empty()
    }

    /// Moves what can be moved; `true` when the budget ran out first.
    pub(crate) fn run(
        &mut self,
        tcp: &mut TcpStream,
        ready: &mut Ready,
        connection: &mut Connection,
        stream: StreamId,
        scratch: &mut Scratch,
    ) -> Result<bool, Fault> {
        let mut moved = 0;
        while self.half != Half::Ended && ready.tcp_write {
            if !self.held.is_empty() {
                moved += self.write_held(tcp, ready)?;
                continue;
            }
            if self.half == Half::Ending {
                self.half = Half::Ended;
                tcp.shutdown(Shutdown::Write).map_err(Fault::Application)?;
                break;
            }
            if moved >= TURN_BUDGET {
                return Ok(true);
            }
            if !ready.stream_read {
                break;
            }
            self.take(ready, connection, stream, scratch)?;
            if let Some(opener) = &mut self.opener {
                let ended = self.half == Half::Ending;
                opener.verify(scratch, ended).map_err(Fault::Token)?;
            }
            moved += self.write(tcp, ready, scratch)?;
        }
        Ok(false)
    }

    /// Takes up to [`SLICES`] pieces off the stream.
    fn take(
        &mut self,
        ready: &mut Ready,
        connection: &mut Connection,
        stream: StreamId,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let mut receive = connection.recv_stream(stream);
        let mut chunks = match receive.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {
                return Err(Fault::Peer(None));
            }
        };
        while scratch.len() < SLICES {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => scratch.push_back(chunk.bytes),
                Ok(None) => {
                    self.half = Half::Ending;
                    ready.stream_read = false;
                    break;
                }
                Err(ReadError::Blocked) => {
                    ready.stream_read = false;
                    break;
                }
                Err(ReadError::Reset(code)) => {
                    scratch.clear();
                    return Err(Fault::Peer(StreamCode::from_u64(code.into_inner())));
                }
            }
        }
        Ok(())
    }

    /// Writes what was taken, and holds what the socket does not want.
    fn write(
        &mut self,
        tcp: &mut TcpStream,
        ready: &mut Ready,
        scratch: &mut Scratch,
    ) -> Result<usize, Fault> {
        let mut moved = 0;
        while !scratch.is_empty() {
            match write_some(tcp, scratch) {
                Ok(written) => moved += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.tcp_write = false;
                    self.held.append(scratch);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    scratch.clear();
                    return Err(Fault::Application(error));
                }
            }
        }
        self.bytes += moved as u64;
        Ok(moved)
    }

    fn write_held(&mut self, tcp: &mut TcpStream, ready: &mut Ready) -> Result<usize, Fault> {
        let mut held = std::mem::take(&mut self.held);
        self.write(tcp, ready, &mut held)
    }
}

/// One `writev`; drops what was written from the front of `pieces`.
pub(super) fn write_some(tcp: &mut TcpStream, pieces: &mut VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces.iter()) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    let written = tcp.write_vectored(&slices[..count])?;
    let mut rest = written;
    while rest > 0 {
        let Some(front) = pieces.front_mut() else {
            break;
        };
        if rest < front.len() {
            let _ = front.split_to(rest);
            break;
        }
        rest -= front.len();
        pieces.pop_front();
    }
    Ok(written)
}
