//! A TCP connection relayed to another TCP connection, for plaintext that the
//! policy lets through.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use bytes::Bytes;
use mio::net::TcpStream;

use super::up::Said;
use super::{Fault, Half, READ, TURN_BUDGET, Turn};
use crate::pool::BlockPool;

/// One of the two connections.
#[derive(Debug)]
struct End {
    tcp: TcpStream,
    readable: bool,
    ended: bool,
    writable: bool,
}

/// Bytes on their way from one end to the other.
#[derive(Debug)]
struct Flow {
    pending: Bytes,
    half: Half,
    bytes: u64,
}

/// Two TCP connections, joined.
#[derive(Debug)]
pub(crate) struct Pipe {
    ends: [End; 2],
    flows: [Flow; 2],
    /// Whether the server's side is still connecting: nothing was read yet.
    connecting: bool,
}

/// Which end of a [`Pipe`]: who connected, or whom we connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The accepted connection.
    Client,
    /// The connection we made.
    Server,
}

impl Pipe {
    /// Joins an accepted connection, whose client has `said` this already, with one that is
    /// still connecting.
    pub(crate) fn new(client: TcpStream, server: TcpStream, said: Said) -> Self {
        let end = |tcp, ready| End {
            tcp,
            readable: ready,
            ended: false,
            writable: ready,
        };
        let flow = |said: Said| Flow {
            pending: said.bytes.into(),
            half: if said.ended { Half::Ending } else { Half::Open },
            bytes: 0,
        };
        Self {
            ends: [end(client, true), end(server, false)],
            flows: [flow(said), flow(Said::default())],
            connecting: true,
        }
    }

    /// Whether the server's side is connected; its error if that failed. Until it is, nothing
    /// is read from the client.
    pub(crate) fn connected(&mut self) -> io::Result<bool> {
        let server = &self.ends[Side::Server as usize];
        if self.connecting && server.writable {
            server.tcp.take_error()?.map_or(Ok(()), Err)?;
            self.connecting = false;
        }
        Ok(!self.connecting)
    }

    /// Whether the server's side is not connected, as far as is known.
    pub(crate) fn is_connecting(&self) -> bool {
        self.connecting
    }

    /// Both sockets, the client's first, and what the client had said to begin with.
    pub(crate) fn into_parts(self) -> (TcpStream, TcpStream, Said) {
        let [client, server] = self.ends;
        let [said, _] = self.flows;
        let said = Said {
            bytes: said.pending.into(),
            ended: said.half != Half::Open,
        };
        (client.tcp, server.tcp, said)
    }

    /// The socket of one side.
    pub(crate) fn socket(&mut self, side: Side) -> &mut TcpStream {
        &mut self.ends[side as usize].tcp
    }

    /// Remembers what the kernel reported.
    pub(crate) fn note(&mut self, side: Side, event: &mio::event::Event) {
        let end = &mut self.ends[side as usize];
        end.readable |= event.is_readable();
        end.ended |= event.is_read_closed();
        end.writable |= event.is_writable();
    }

    /// Bytes from client to server, and back.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.flows[0].bytes, self.flows[1].bytes)
    }

    /// Moves what can be moved, both ways.
    pub(crate) fn run(&mut self, blocks: &mut BlockPool) -> Turn {
        let [client, server] = &mut self.ends;
        let [forth, back] = &mut self.flows;
        let result = forth
            .run(client, server, blocks)
            .and_then(|more| Ok(more | back.run(server, client, blocks)?));
        match result {
            Err(error) => Turn::Failed(Fault::Application(error)),
            Ok(_) if forth.half == Half::Ended && back.half == Half::Ended => Turn::Finished,
            Ok(true) => Turn::More,
            Ok(false) => Turn::Waiting,
        }
    }
}

impl Flow {
    fn run(&mut self, from: &mut End, to: &mut End, blocks: &mut BlockPool) -> io::Result<bool> {
        let mut moved = 0;
        while self.half != Half::Ended && to.writable {
            if !self.pending.is_empty() {
                moved += self.write(to)?;
                continue;
            }
            if self.half == Half::Ending {
                self.half = Half::Ended;
                to.tcp.shutdown(Shutdown::Write)?;
                break;
            }
            if moved >= TURN_BUDGET {
                return Ok(true);
            }
            if !from.readable || !self.read(from, blocks)? {
                break;
            }
        }
        Ok(false)
    }

    fn write(&mut self, to: &mut End) -> io::Result<usize> {
        match to.tcp.write(&self.pending) {
            Ok(length) => {
                let _ = self.pending.split_to(length);
                self.bytes += length as u64;
                Ok(length)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                to.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, from: &mut End, blocks: &mut BlockPool) -> io::Result<bool> {
        let space = blocks.space(READ);
        let room = space.len();
        match from.tcp.read(space) {
            Ok(0) => {
                from.readable = false;
                self.half = Half::Ending;
                Ok(true)
            }
            Ok(length) => {
                from.readable = length == room || from.ended;
                self.pending = blocks.take_frozen(length);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                from.readable = false;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}
