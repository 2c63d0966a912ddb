//! One TCP connection that sends fixed-size requests and counts the bytes of the answers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

/// What requests are made of; the content is of no interest.
static PAYLOAD: [u8; 65536] = [0x5a; 65536];

/// A non-blocking connection with its unsent and received byte counts.
pub(crate) struct Exchange {
    /// The socket, to register with a poller.
    pub(crate) socket: TcpStream,
    unsent: usize,
    received: usize,
}

impl Exchange {
    /// Starts to connect; readiness tells when it is done, and the first write what went wrong.
    pub(crate) fn start(target: SocketAddr) -> io::Result<Self> {
        let family = if target.is_ipv6() {
            AddressFamily::INET6
        } else {
            AddressFamily::INET
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &target) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self {
            socket: socket.into(),
            unsent: 0,
            received: 0,
        })
    }

    /// Bytes asked for and not yet taken by the socket.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// Asks for `size` more bytes to be sent.
    pub(crate) fn request(&mut self, size: usize) -> io::Result<()> {
        self.unsent += size;
        self.flush()
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.unsent > 0 {
            match self
                .socket
                .write(&PAYLOAD[..self.unsent.min(PAYLOAD.len())])
            {
                Ok(sent) => self.unsent -= sent,
                Err(error) if is_pending(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there. An end of the stream is an error: the server answers, the client
    /// closes.
    pub(crate) fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65536];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(received) => self.received += received,
                Err(error) if is_pending(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes one whole answer of `size` bytes out of what has been received.
    pub(crate) fn take_answer(&mut self, size: usize) -> bool {
        let whole = self.received >= size;
        if whole {
            self.received -= size;
        }
        whole
    }
}

/// Nothing now, or still connecting: both end in another readiness event.
fn is_pending(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}
