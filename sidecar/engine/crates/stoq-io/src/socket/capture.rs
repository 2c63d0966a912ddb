//! The socket at which captured UDP arrives, of both directions.
//!
//! The broker made it transparent, so that datagrams for any address reach it, and has the kernel
//! tell with each where it was going, and by its mark whether it may be divided on the way.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

use bytes::Bytes;
use socket2::Socket;

use super::options;
use super::udp::canonical;

/// Datagrams per call to the kernel.
const BATCH: usize = 16;

/// Room for the largest datagram.
const SPACE: usize = 65_536;

/// Room for the control messages that tell the destination of IPv4 and of IPv6, and the mark.
const CONTROL: usize = 128;

/// The mark of what an application has sent with IPv4's Don't Fragment (`stoq.capture.udp`).
const WHOLE: u32 = 14_014;

/// A datagram and its two ends.
#[derive(Debug)]
pub(crate) struct CapturedDatagram {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) payload: Bytes,
    /// Whether it may not be divided on the way: it is of IPv4, and says so.
    pub(crate) whole: bool,
}

/// The socket, and room for one batch.
pub(crate) struct CaptureSocket {
    socket: Socket,
    space: Vec<u8>,
}

/// Where the kernel puts one datagram's address and destination.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Head {
    name: libc::sockaddr_storage,
    control: [u8; CONTROL],
}

impl CaptureSocket {
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            space: Vec::new(),
        }
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Whether the kernel tells marks: Linux 5.19, and a broker that has it do so.
    pub(crate) fn tells_marks(&self) -> bool {
        options::get(&self.socket, libc::SOL_SOCKET, libc::SO_RCVMARK).is_ok_and(|on| on != 0)
    }

    /// Gives the room back to the allocator, for times without traffic.
    pub(crate) fn trim(&mut self) {
        self.space = Vec::new();
    }

    /// One batch; empty when there is nothing more. What has no readable destination is left out.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Vec<CapturedDatagram>>> {
        self.space.resize(BATCH * SPACE, 0);
        // SAFETY: both are plain data of the kernel's, for which all zeros are a value.
        let mut heads: [Head; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut spaces = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        let places = self.space.chunks_exact_mut(SPACE).zip(spaces.iter_mut());
        for ((place, space), (head, message)) in
            places.zip(heads.iter_mut().zip(messages.iter_mut()))
        {
            space.iov_base = place.as_mut_ptr().cast();
            space.iov_len = SPACE;
            let header = &mut message.msg_hdr;
            header.msg_name = (&raw mut head.name).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = space;
            header.msg_iovlen = 1;
            header.msg_control = head.control.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: each header points at an address, a buffer and room for control messages that
        // live until the end of this function, with their lengths.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(None),
                _ => Err(error),
            };
        }
        let mut found = Vec::with_capacity(count as usize);
        for (index, message) in messages.iter().take(count as usize).enumerate() {
            let length = (message.msg_len as usize).min(SPACE);
            let source = address(&heads[index].name);
            let (destination, mark) = told(&message.msg_hdr);
            if let (Some(source), Some(destination)) = (source, destination) {
                let start = index * SPACE;
                found.push(CapturedDatagram {
                    source: canonical(source),
                    destination: canonical(destination),
                    payload: Bytes::copy_from_slice(&self.space[start..start + length]),
                    whole: mark == Some(WHOLE),
                });
            }
        }
        Ok(Some(found))
    }
}

/// Where a datagram was going, and its mark.
fn told(header: &libc::msghdr) -> (Option<SocketAddr>, Option<u32>) {
    let (mut destination, mut mark) = (None, None);
    // SAFETY: the kernel has filled the header's control messages and set their length; the macros
    // of libc stay within it, and the pointers are to memory that the caller borrows.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (found.cmsg_level, found.cmsg_type) {
                (libc::SOL_IP, libc::IP_ORIGDSTADDR) => {
                    let address = data.cast::<libc::sockaddr_in>().read_unaligned();
                    destination = Some(from_v4(&address));
                }
                (libc::SOL_IPV6, libc::IPV6_ORIGDSTADDR) => {
                    let address = data.cast::<libc::sockaddr_in6>().read_unaligned();
                    destination = Some(from_v6(&address));
                }
                (libc::SOL_SOCKET, libc::SO_MARK) => {
                    mark = Some(data.cast::<u32>().read_unaligned());
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    (destination, mark)
}

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place: *const libc::sockaddr_storage = storage;
    // SAFETY: the storage is as large as any address and its family says which one it holds.
    unsafe {
        match i32::from(storage.ss_family) {
            libc::AF_INET => Some(from_v4(&place.cast::<libc::sockaddr_in>().read())),
            libc::AF_INET6 => Some(from_v6(&place.cast::<libc::sockaddr_in6>().read())),
            _ => None,
        }
    }
}

fn from_v4(address: &libc::sockaddr_in) -> SocketAddr {
    let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
    SocketAddr::from((ip, u16::from_be(address.sin_port)))
}

fn from_v6(address: &libc::sockaddr_in6) -> SocketAddr {
    let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
    SocketAddr::from((ip, u16::from_be(address.sin6_port)))
}
