//! A TCP connection relayed over a STOQ stream.

use bytes::Bytes;
use mio::net::TcpStream;
use quinn_proto::{Connection, StreamId};

use super::down::{Down, Scratch};
use super::tee::Tee;
use super::tokens::{Opener, Sealer, Tokens};
use super::up::{Said, Up};
use super::{Fault, Ready, Turn};
use crate::pool::BlockPool;

/// Both directions and what is known about their readiness.
#[derive(Debug)]
pub(crate) struct StreamRelay {
    /// The application's connection.
    pub(crate) tcp: TcpStream,
    /// The stream that carries it.
    pub(crate) stream: StreamId,
    /// What can be done without waiting.
    pub(crate) ready: Ready,
    /// Whether the connection's window was enlarged on its behalf.
    pub(crate) granted: bool,
    up: Up,
    down: Down,
}

impl StreamRelay {
    /// A relay whose stream was just opened here: `head` goes first, then what the application
    /// has `said` already. What it says is kept if it may have to be said again, and copied if
    /// there is a `tee`.
    pub(crate) fn opened(
        tcp: TcpStream,
        stream: StreamId,
        head: Bytes,
        said: Said,
        keep: bool,
        tokens: Option<Tokens>,
        tee: Option<Box<Tee>>,
    ) -> Self {
        let (sealer, opener) = split(tokens);
        let ready = Ready {
            tcp_read: true,
            tcp_write: true,
            stream_write: true,
            ..Ready::default()
        };
        Self {
            tcp,
            stream,
            ready,
            granted: false,
            up: Up::new(head, said, keep, sealer, tee),
            down: Down::new(Bytes::new(), opener),
        }
    }

    /// A relay whose stream the peer opened: `first` followed its head. The socket
    /// is still connecting, so nothing is ready on its side.
    pub(crate) fn accepted(
        tcp: TcpStream,
        stream: StreamId,
        first: Bytes,
        tokens: Option<Tokens>,
    ) -> Self {
        let (sealer, opener) = split(tokens);
        let ready = Ready {
            stream_read: true,
            stream_write: true,
            ..Ready::default()
        };
        Self {
            tcp,
            stream,
            ready,
            granted: false,
            up: Up::new(Bytes::new(), Said::default(), false, sealer, None),
            down: Down::new(first, opener),
        }
    }

    /// A relay of a copy: as [`StreamRelay::accepted`], and what the application says is thrown
    /// away (M3).
    pub(crate) fn shadow(tcp: TcpStream, stream: StreamId, first: Bytes) -> Self {
        Self {
            up: Up::silent(),
            ..Self::accepted(tcp, stream, first, None)
        }
    }

    /// The copies of the flow.
    pub(crate) fn tee(&mut self) -> &mut Option<Box<Tee>> {
        self.up.tee()
    }

    /// Application bytes sent to and received from the peer.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.up.bytes, self.down.bytes)
    }

    /// Whether the peer has sent anything on the stream: then it took the connection.
    pub(crate) fn answered(&self) -> bool {
        self.down.begun()
    }

    /// Whether the flow could begin anew elsewhere, without anything lost.
    pub(crate) fn repeatable(&self) -> bool {
        self.up.is_kept() && !self.answered()
    }

    /// What the application has said, if all of it was kept; nothing is kept from now on.
    pub(crate) fn take_said(&mut self) -> Option<Said> {
        self.up.take_said()
    }

    /// Whether everything the application sent, and its end, was handed to the stream.
    pub(crate) fn sending_ended(&self) -> bool {
        self.up.ended()
    }

    /// Whether the application does not take what has arrived for it.
    pub(crate) fn stalled(&self) -> bool {
        self.down.stalled()
    }

    /// Moves what can be moved, both ways.
    pub(crate) fn run(
        &mut self,
        connection: &mut Connection,
        blocks: &mut BlockPool,
        scratch: &mut Scratch,
    ) -> Turn {
        let (tcp, ready) = (&mut self.tcp, &mut self.ready);
        let up = match self.up.run(tcp, ready, connection, self.stream, blocks) {
            Ok(more) => more,
            Err(fault) => return Turn::Failed(fault),
        };
        let down = match self.down.run(tcp, ready, connection, self.stream, scratch) {
            Ok(more) => more,
            Err(fault) => return Turn::Failed(fault),
        };
        if self.up.ended() && self.down.ended() {
            return Turn::Finished;
        }
        if up || down {
            Turn::More
        } else {
            Turn::Waiting
        }
    }

    /// The socket's pending error, for one that was still connecting.
    pub(crate) fn connected(&self) -> Result<(), Fault> {
        match self.tcp.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(Fault::Application(error)),
        }
    }
}

/// Tokens of both directions, on the heap: most relays have none.
fn split(tokens: Option<Tokens>) -> (Option<Box<Sealer>>, Option<Box<Opener>>) {
    tokens.map_or((None, None), |tokens| {
        (Some(Box::new(tokens.sealer)), Some(Box::new(tokens.opener)))
    })
}

#[cfg(test)]
mod tests;
