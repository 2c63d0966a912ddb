//! Sockets: opening, adopting and tuning them. No worker logic.

pub(crate) mod capture;
pub(crate) mod options;
pub(crate) mod paths;
pub(crate) mod raw;
pub(crate) mod source;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::EngineError;
use crate::settings::ListenerSettings;

/// Connections the kernel queues while a worker is busy.
const BACKLOG: i32 = 4096;

/// Opens `count` sockets of one listener, or adopts those that were handed in.
///
/// With handed-in sockets there may be fewer than `count`.
pub(crate) fn open(
    field: &'static str,
    settings: &ListenerSettings,
    kind: Type,
    count: usize,
    ipv6_only: bool,
) -> Result<Vec<Socket>, EngineError> {
    if !settings.fds.is_empty() {
        return settings.fds.iter().map(|fd| adopt(field, *fd)).collect();
    }
    let mut address = settings.listen;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind(address, kind, ipv6_only).map_err(|source| EngineError::Listen {
            field,
            address,
            source,
        })?;
        // Port 0 means any port, but the same for all of them.
        if address.port() == 0 {
            let port = local_address(&socket)
                .map_err(|source| EngineError::Listen {
                    field,
                    address,
                    source,
                })?
                .port();
            address.set_port(port);
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

/// The address a socket is bound to.
pub(crate) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("the socket is not bound to an IP address"))
}

fn bind(address: SocketAddr, kind: Type, ipv6_only: bool) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM {
        Protocol::TCP
    } else {
        Protocol::UDP
    };
    let socket = Socket::new(
        Domain::for_address(address),
        kind.nonblocking(),
        Some(protocol),
    )?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, where the pod has it; a given address does not.
        socket.set_only_v6(ipv6_only || !address.ip().is_unspecified())?;
    }
    socket.set_reuse_port(true)?;
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// Takes over a socket that somebody else opened and bound.
pub(crate) fn adopt(field: &'static str, fd: RawFd) -> Result<Socket, EngineError> {
    let socket = adopt_raw(field, fd)?;
    local_address(&socket).map_err(|source| EngineError::Adopt { field, fd, source })?;
    Ok(socket)
}

/// Takes over a socket that somebody else opened.
pub(crate) fn adopt_raw(field: &'static str, fd: RawFd) -> Result<Socket, EngineError> {
    let wrong = |source| EngineError::Adopt { field, fd, source };
    if fd < 0 {
        return Err(wrong(io::ErrorKind::InvalidInput.into()));
    }
    // SAFETY: the settings' contract gives us the descriptor: nobody else closes or
    // uses it. That it is open and a socket is checked by the calls below.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(fd) });
    socket.set_nonblocking(true).map_err(wrong)?;
    Ok(socket)
}
