//! TCP towards applications.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::source::Sources;

/// Starts to connect to `destination`; the socket becomes writable when done.
///
/// # Errors
/// What the kernel said at once; later failures come by the socket's error.
pub(crate) fn connect(destination: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(destination);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    begin(socket, destination)
}

/// As [`connect`], from `source`, an address that need not be ours.
///
/// Where its port is taken, another one of the same address is used: by a second
/// flow of the same client port, which dialled two addresses of one application, or
/// by a listener.
///
/// # Errors
/// As [`connect`], or that the kernel does not let us have the address.
pub(crate) fn connect_from(
    destination: SocketAddr,
    source: SocketAddr,
    sources: &Sources,
) -> io::Result<TcpStream> {
    let attempt = |source: SocketAddr| {
        let socket = sources.socket(source)?;
        // The port may be in use by a flow to somebody else, or by one that has just ended.
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
        begin(socket, destination)
    };
    attempt(source).or_else(|error| match error.kind() {
        // PermissionDenied: a port below 1024, which a client as root may use.
        io::ErrorKind::AddrInUse
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied => attempt(SocketAddr::new(source.ip(), 0)),
        _ => Err(error),
    })
}

fn begin(socket: Socket, destination: SocketAddr) -> io::Result<TcpStream> {
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&destination.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Makes the next close send RST instead of FIN.
pub(crate) fn reset_on_close(tcp: &TcpStream) {
    // Fails only on a socket that is already gone.
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

/// Applies what every application socket gets.
pub(crate) fn tune(tcp: &TcpStream) {
    // 1-byte writes must not wait for an ACK (Nagle): the application's own choice is
    // not visible to us. Fails only on a socket that is already gone.
    let _ = tcp.set_nodelay(true);
}
