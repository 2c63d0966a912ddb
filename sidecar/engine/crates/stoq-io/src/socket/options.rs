//! Options of sockets that are an integer, and that `socket2` does not name.

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

/// Its value.
///
/// # Errors
/// ENOPROTOOPT for an option that the kernel does not know, and what else it says.
pub(crate) fn get(socket: &Socket, level: i32, option: i32) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointers are to an integer of the length that is named and to that length, and live
    // through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives it another value.
///
/// # Errors
/// As [`get`].
pub(crate) fn set(socket: &Socket, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to an integer of the length that is named, and lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
