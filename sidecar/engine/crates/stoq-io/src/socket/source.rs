//! Sockets that may take an address which is not ours: the client's.
//!
//! That replies come back to us is the work of whoever programs capture
//! (`docs/decisions/0021-client-address.md`). Here it is about what the kernel asks of
//! the socket. For IPv6 that is IPV6_FREEBIND, which anybody may set. For IPv4 it is
//! IP_TRANSPARENT, which takes CAP_NET_RAW or CAP_NET_ADMIN; a sidecar has neither.
//! But a connection that a transparent listener accepts is transparent itself
//! (<https://docs.kernel.org/networking/tproxy.html>), and connect(2) to AF_UNSPEC
//! dissolves it into a fresh socket that keeps the flag. So the broker passes one such
//! listener on loopback, and we dial it ourselves.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};

use super::local_address;

/// Connections to the listener that are made ahead: they are there when asked for,
/// also on a machine that is too busy to complete one within the call.
const AHEAD: usize = 8;

/// Where such sockets come from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    mint: Option<Mutex<Mint>>,
}

/// The broker's listener, and our ends of the connections that wait in its queue.
#[derive(Debug)]
struct Mint {
    listener: Socket,
    address: SocketAddr,
    waiting: VecDeque<Socket>,
}

impl Sources {
    /// With a transparent IPv4 listener; without one, IPv4 takes a capability.
    ///
    /// # Errors
    /// What the kernel says of the listener.
    pub(crate) fn new(listener: Option<Socket>) -> io::Result<Self> {
        let mint = listener.map(Mint::new).transpose()?.map(Mutex::new);
        Ok(Self { mint })
    }

    /// A TCP socket that may be bound to `source`.
    ///
    /// # Errors
    /// EPERM for IPv4 without a listener and without the capability, EAGAIN when the
    /// listener has nothing yet.
    pub(super) fn socket(&self, source: SocketAddr) -> io::Result<Socket> {
        if let (Some(mint), true) = (&self.mint, source.is_ipv4()) {
            // Held for some system calls on loopback, by IPv4 flows only.
            return mint.lock().unwrap_or_else(PoisonError::into_inner).socket();
        }
        let domain = Domain::for_address(source);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if source.is_ipv4() {
            socket.set_ip_transparent_v4(true)?;
        } else {
            socket.set_freebind_v6(true)?;
        }
        Ok(socket)
    }
}

impl Mint {
    fn new(listener: Socket) -> io::Result<Self> {
        let address = local_address(&listener)?;
        let mut mint = Self {
            listener,
            address,
            waiting: VecDeque::new(),
        };
        mint.fill()?;
        Ok(mint)
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.waiting.len() < AHEAD {
            let dial = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
            match dial.connect(&self.address.into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
                _ => self.waiting.push_back(dial),
            }
        }
        Ok(())
    }

    fn socket(&mut self) -> io::Result<Socket> {
        self.fill()?;
        // Whose connection it is does not matter: an application of the pod that dials
        // the listener too loses its own.
        let (socket, _) = self.listener.accept()?;
        self.waiting.pop_front();
        socket.set_nonblocking(true)?;
        dissolve(&socket)?;
        Ok(socket)
    }
}

/// Ends the connection of a socket and keeps the socket, with its options.
fn dissolve(socket: &Socket) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    let length = size_of_val(&nobody) as libc::socklen_t;
    // SAFETY: the descriptor is open for the duration of the call, and the pointer and
    // length describe `nobody`, which the kernel only reads.
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
