//! A TCP connection relayed over lanes: its own side, and lane 0.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::Arc;

use bytes::Bytes;
use mio::net::TcpStream;
use quinn_proto::Connection;
use stoq_frames::stripe::Stripe;
use stoq_wire::stripe::MAX_CHUNK;

use super::down::{SLICES, write_some};
use super::lane::{Lane, Moved};
use super::up::{KEPT, Said};
use super::{Fault, Ready, TURN_BUDGET, Turn};
use crate::pool::BlockPool;
use crate::stripes::{State, Striped};

/// Chunks read ahead of the lanes, of each: more would only wait here instead of in the socket.
const AHEAD: usize = 4;

/// Bytes that wait for the socket besides the window: two chunks, so that a write has enough.
const HELD: usize = 2 * MAX_CHUNK;

/// The owner of a striped flow.
#[derive(Debug)]
pub(crate) struct StripeRelay {
    /// The application's connection.
    pub(crate) tcp: TcpStream,
    /// What can be done with it without waiting.
    pub(crate) ready: Ready,
    /// Lane 0.
    pub(crate) lane: Lane,
    pub(crate) striped: Arc<Striped>,
    /// Whether the application's connection is not there yet.
    pub(crate) connecting: bool,
    /// Whether further lanes were asked for.
    pub(crate) joined: bool,
    /// What the socket would not take yet, and its bytes. To the peer they have come.
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// Whether the application has said everything.
    ended: bool,
    /// Everything it has said, while it may have to be said again.
    kept: Option<Vec<u8>>,
    /// Application bytes sent and received.
    bytes: (u64, u64),
    answered: bool,
}

impl StripeRelay {
    /// Of a flow that begins here: what the application has `said` already is in the stripe. It is
    /// kept with `keep`.
    pub(crate) fn opened(
        tcp: TcpStream,
        lane: Lane,
        striped: Arc<Striped>,
        said: Said,
        keep: bool,
    ) -> Self {
        let mut state = striped.lock();
        let bytes = (said.bytes.len() as u64, 0);
        state.stripe.push(Bytes::copy_from_slice(&said.bytes));
        if said.ended {
            state.stripe.finish();
        }
        drop(state);
        Self {
            ended: said.ended,
            kept: keep.then_some(said.bytes),
            bytes,
            ..Self::accepted(tcp, lane, striped, false)
        }
    }

    /// Of a flow that a peer began, whose application is being connected with `connecting`.
    pub(crate) fn accepted(
        tcp: TcpStream,
        lane: Lane,
        striped: Arc<Striped>,
        connecting: bool,
    ) -> Self {
        Self {
            tcp,
            ready: Ready {
                tcp_read: !connecting,
                tcp_write: !connecting,
                ..Ready::default()
            },
            lane,
            striped,
            connecting,
            joined: false,
            held: VecDeque::new(),
            held_bytes: 0,
            ended: false,
            kept: None,
            bytes: (0, 0),
            answered: false,
        }
    }

    /// Application bytes sent to and received from the peer.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        self.bytes
    }

    /// Whether the peer has sent anything: then it took the connection.
    pub(crate) fn answered(&self) -> bool {
        self.answered
    }

    /// Whether the flow could begin anew elsewhere, without anything lost.
    pub(crate) fn repeatable(&self) -> bool {
        self.kept.is_some() && !self.answered
    }

    /// What the application has said, if all of it was kept; nothing is kept from now on.
    pub(crate) fn take_said(&mut self) -> Option<Said> {
        Some(Said {
            bytes: self.kept.take()?,
            ended: self.ended,
        })
    }

    /// Moves what can be moved, both ways; the latter is whether others may have something to do.
    pub(crate) fn run(
        &mut self,
        quic: &mut Connection,
        blocks: &mut BlockPool,
        state: &mut State,
    ) -> (Turn, bool) {
        let mut all = Moved::default();
        let result = self.turn(quic, blocks, &mut state.stripe, &mut all);
        self.answered |= state.stripe.answered();
        let turn = match result {
            Err(fault) => Turn::Failed(fault),
            Ok(()) if self.lane.is_over() => Turn::Finished,
            Ok(()) if all.more => Turn::More,
            Ok(()) => Turn::Waiting,
        };
        (turn, all.any)
    }

    fn turn(
        &mut self,
        quic: &mut Connection,
        blocks: &mut BlockPool,
        stripe: &mut Stripe,
        all: &mut Moved,
    ) -> Result<(), Fault> {
        let mut bytes = 0;
        loop {
            let mut moved = Moved::default();
            let read = self.lane.read(quic, stripe)?;
            let down = self.down(stripe)?;
            let up = self.up(stripe, blocks)?;
            let written = self.lane.write(quic, stripe)?;
            moved.any = read.any || written.any || down > 0 || up > 0 || self.tell_end(stripe)?;
            moved.more = read.more || written.more;
            bytes += down + up;
            all.any |= moved.any;
            all.more = moved.more || (moved.any && bytes >= TURN_BUDGET);
            if !moved.any || all.more {
                return Ok(());
            }
        }
    }

    /// From the lanes to the application.
    fn down(&mut self, stripe: &mut Stripe) -> Result<usize, Fault> {
        let mut moved = 0;
        while self.ready.tcp_write && moved < TURN_BUDGET {
            while self.held.len() < SLICES
                && self.held_bytes < HELD
                && let Some(piece) = stripe.pop()
            {
                self.held_bytes += piece.len();
                self.held.push_back(piece);
            }
            if self.held.is_empty() {
                break;
            }
            match write_some(&mut self.tcp, &mut self.held) {
                Ok(written) => {
                    self.held_bytes -= written;
                    moved += written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready.tcp_write = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Application(error)),
            }
        }
        self.bytes.1 += moved as u64;
        Ok(moved)
    }

    /// Tells the application the end once everything before it was written.
    fn tell_end(&mut self, stripe: &mut Stripe) -> Result<bool, Fault> {
        let due = self.held.is_empty() && stripe.at_end() && !self.connecting;
        if due {
            self.tcp
                .shutdown(Shutdown::Write)
                .map_err(Fault::Application)?;
            stripe.end_told();
        }
        Ok(due)
    }

    /// From the application to the lanes.
    fn up(&mut self, stripe: &mut Stripe, blocks: &mut BlockPool) -> Result<usize, Fault> {
        let mut moved = 0;
        let ahead = AHEAD * stripe.lanes() as usize;
        while self.ready.tcp_read && !self.ended && moved < TURN_BUDGET {
            let most = stripe.room();
            if most == 0 || stripe.ahead() >= ahead {
                break;
            }
            let space = blocks.space(most);
            let room = space.len().min(most);
            match self.tcp.read(&mut space[..room]) {
                Ok(0) => {
                    self.ended = true;
                    stripe.finish();
                    moved += 1;
                }
                Ok(length) => {
                    // Less than there was room for: the socket is empty, and the next arrival is a
                    // new edge (epoll(7)).
                    self.ready.tcp_read = length == room || self.ready.tcp_end;
                    let data = blocks.take_frozen(length);
                    self.keep(&data);
                    stripe.push(data);
                    self.bytes.0 += length as u64;
                    moved += length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready.tcp_read = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Application(error)),
            }
        }
        Ok(moved)
    }

    /// Keeps what was read while there is room for all of it.
    fn keep(&mut self, data: &[u8]) {
        if let Some(kept) = &mut self.kept {
            match kept.len() + data.len() <= KEPT {
                true => kept.extend_from_slice(data),
                false => self.kept = None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
