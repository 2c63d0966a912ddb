//! Where a captured connection was going before nftables redirected it.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use socket2::SockRef;

/// The address that the application dialled; `None` for a connection that was
/// not redirected.
///
/// An IPv4 connection on an IPv6 listener has v4-mapped addresses and must be
/// asked about at IPv4's level. The answer is canonical: never v4-mapped.
///
/// # Errors
/// What the kernel says when it says anything but "not redirected".
pub fn original_destination(connection: &impl AsFd) -> io::Result<Option<SocketAddr>> {
    let socket = SockRef::from(connection);
    let Some(local) = socket.local_addr()?.as_socket() else {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    };
    let local = SocketAddr::new(local.ip().to_canonical(), local.port());
    let answer = if local.is_ipv4() {
        ask_v4(connection).map(SocketAddr::V4)
    } else {
        ask_v6(connection).map(SocketAddr::V6)
    };
    match answer {
        Ok(destination) if destination == local => Ok(None),
        Ok(destination) => Ok(Some(destination)),
        // ENOENT: no translation is on record. ENOPROTOOPT: nobody here could
        // have made one, connection tracking is not loaded.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOPROTOOPT)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn ask_v4(connection: &impl AsFd) -> io::Result<SocketAddrV4> {
    // SAFETY: sockaddr_in is what the kernel writes for this option.
    let raw: libc::sockaddr_in = unsafe { ask(connection, libc::SOL_IP, libc::SO_ORIGINAL_DST) }?;
    let ip = u32::from_be(raw.sin_addr.s_addr).into();
    Ok(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)))
}

fn ask_v6(connection: &impl AsFd) -> io::Result<SocketAddrV6> {
    // SAFETY: sockaddr_in6 is what the kernel writes for this option.
    let raw: libc::sockaddr_in6 =
        unsafe { ask(connection, libc::SOL_IPV6, libc::IP6T_SO_ORIGINAL_DST) }?;
    let ip = raw.sin6_addr.s6_addr.into();
    Ok(SocketAddrV6::new(ip, u16::from_be(raw.sin6_port), 0, 0))
}

/// Reads a socket option.
///
/// # Safety
/// `T` must be plain data of which any bytes are a value, and what the kernel
/// writes for the option.
unsafe fn ask<T>(connection: &impl AsFd, level: i32, option: i32) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, and the kernel writes no more
    // than `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            connection.as_fd().as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed before and at most overwritten with plain data.
    Ok(unsafe { value.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn accepted(listen: &str, host: &str) -> TcpStream {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect((host, port)).unwrap();
        listener.accept().unwrap().0
    }

    #[test]
    fn a_connection_that_was_not_redirected_has_no_other_destination() {
        for (listen, host) in [
            ("[::1]:0", "::1"),
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::]:0", "127.0.0.1"),
        ] {
            let connection = accepted(listen, host);
            assert_eq!(original_destination(&connection).unwrap(), None, "{listen}");
        }
    }

    #[test]
    fn a_socket_of_another_family_is_an_error() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let error = original_destination(&socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }
}
