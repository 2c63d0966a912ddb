//! Sends back every byte.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt,
};

use crate::poller::Poller;

/// Accept queue: a burst of new connections must wait here, not be refused.
const BACKLOG: i32 = 4096;

/// Buffers of a connection, bytes: some requests. The kernel would give a client that does not
/// read many megabytes, and a hundred of those all the memory TCP may have.
pub(crate) const BUFFERS: usize = 64 * 1024;

/// The listener's key; connections count up from the next one.
const LISTENER: u64 = 0;

/// Serves until it is killed.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let listener = open(address).with_context(|| format!("cannot listen on {address}"))?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    let mut connections = HashMap::new();
    let mut next = LISTENER + 1;
    loop {
        for key in poller.wait(None)? {
            if key == LISTENER {
                while let Ok(socket) =
                    accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
                {
                    sockopt::set_tcp_nodelay(&socket, true)?;
                    poller.add(&socket, next)?;
                    connections.insert(next, Connection::new(socket.into()));
                    next += 1;
                }
            } else if let Some(connection) = connections.get_mut(&key)
                && !matches!(connection.echo(), Ok(true))
            {
                connections.remove(&key);
            }
        }
    }
}

fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Inherited by what it accepts.
    sockopt::set_socket_recv_buffer_size(&socket, BUFFERS)?;
    sockopt::set_socket_send_buffer_size(&socket, BUFFERS)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

struct Connection {
    socket: TcpStream,
    unsent: VecDeque<u8>,
}

impl Connection {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            unsent: VecDeque::new(),
        }
    }

    /// Echoes what is there; false when the peer is done. A peer that does not read is not read
    /// from.
    fn echo(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 65536];
        loop {
            self.flush()?;
            if !self.unsent.is_empty() {
                return Ok(true);
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(received) => self.unsent.extend(&buffer[..received]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(self.unsent.as_slices().0) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.unsent.is_empty() {
            // Idle connections must cost the server nothing.
            self.unsent = VecDeque::new();
        }
        Ok(())
    }
}
