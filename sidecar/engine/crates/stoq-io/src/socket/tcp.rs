//! TCP towards applications.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Starts to connect to `destination`; the socket becomes writable when done.
///
/// With `source` the connection comes from that address, which needs IP_TRANSPARENT.
///
/// # Errors
/// What the kernel said at once; later failures come by the socket's error.
pub(crate) fn connect(
    destination: SocketAddr,
    source: Option<SocketAddr>,
) -> io::Result<TcpStream> {
    let domain = Domain::for_address(destination);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(source) = source {
        set_transparent(&socket, destination)?;
        socket.set_reuse_address(true)?;
        socket.bind(&source.into())?;
    }
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

fn set_transparent(socket: &Socket, destination: SocketAddr) -> io::Result<()> {
    if destination.is_ipv4() {
        return socket.set_ip_transparent_v4(true);
    }
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the duration of the call, and the pointer and
    // length describe `on`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_TRANSPARENT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
