//! Steering: which worker's socket the kernel hands a datagram to.
//!
//! The workers' sockets share one address by SO_REUSEPORT. The kernel would
//! choose among them by a hash of the addresses, and a peer that moves to
//! another address would reach a worker that does not know it. A *classic* BPF
//! program chooses by the worker byte of the connection ID instead; unlike eBPF
//! it needs no capability.
//!
//! The program sees the UDP payload and returns the index of a socket, in the
//! order in which the sockets were bound. It must agree with
//! [`stoq_wire::cid::worker_of`], and like it does not look at QUIC's fixed bit
//! (`docs/wire-format.md`, C1).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bit 7 of a packet's first byte: set on long headers (RFC 8999, 5.1).
const LONG_HEADER: u32 = 0x80;

/// Where a short header's connection ID begins.
const SHORT_CID: u32 = 1;

/// Where a long header says how long its destination connection ID is.
const LONG_CID_LENGTH: u32 = 5;

/// Where a long header's destination connection ID begins.
const LONG_CID: u32 = 6;

/// An index that no group of sockets has: the kernel falls back to its hash.
const BY_HASH: u32 = u32::MAX;

/// Makes the kernel steer datagrams of `socket`'s group by worker byte.
///
/// The group's sockets must have been bound in the order of their workers, all
/// of them with SO_REUSEPORT; one call for any of them is enough. A byte beyond
/// the last worker, as a client's first Initial may carry, counts modulo
/// `workers`. A datagram without the byte goes to worker 0 if it is too short,
/// and by the kernel's hash if its connection ID is empty.
///
/// # Errors
/// What the kernel says: `EINVAL` for a socket that is not in a group.
pub fn steer(socket: &impl AsFd, workers: u8) -> io::Result<()> {
    let mut program = program(workers);
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` and the program that it points to live until the call
    // returns, which copies both; the length is that of the struct.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of_val(&filter) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The program, for `workers` sockets.
fn program(workers: u8) -> [libc::sock_filter; 10] {
    use libc::{
        BPF_A, BPF_ABS, BPF_ALU, BPF_B, BPF_JA, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_MOD,
        BPF_RET,
    };
    let byte = |at| instruction(BPF_LD | BPF_B | BPF_ABS, at, 0);
    [
        byte(0),
        instruction(BPF_JMP | BPF_JSET | BPF_K, LONG_HEADER, 2),
        byte(SHORT_CID),
        instruction(BPF_JMP | BPF_JA, 3, 0), // to the modulo
        byte(LONG_CID_LENGTH),
        instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 3), // empty: to the last
        byte(LONG_CID),
        instruction(BPF_ALU | BPF_MOD | BPF_K, workers.max(1).into(), 0),
        instruction(BPF_RET | BPF_A, 0, 0),
        instruction(BPF_RET | BPF_K, BY_HASH, 0),
    ]
}

/// One instruction; a conditional jump skips `skip` instructions if it holds.
fn instruction(code: u32, k: u32, skip: u8) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: skip,
        jf: 0,
        k,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};
    use stoq_wire::cid::worker_of;

    use super::*;

    const WORKERS: u8 = 4;

    /// A group of sockets on one port, steered by the kernel we run on.
    fn group() -> Vec<UdpSocket> {
        let mut address: std::net::SocketAddr = "[::1]:0".parse().unwrap();
        let mut sockets = Vec::new();
        for _ in 0..WORKERS {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&address.into()).unwrap();
            let socket = UdpSocket::from(socket);
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            address = socket.local_addr().unwrap();
            sockets.push(socket);
        }
        steer(&sockets[0], WORKERS).unwrap();
        sockets
    }

    /// Whether the group's socket of `worker` receives `datagram`.
    fn arrives(sockets: &[UdpSocket], worker: usize, datagram: &[u8]) -> bool {
        // A new sender each time, so that the kernel's hash could not be right by chance.
        let sender = UdpSocket::bind("[::1]:0").unwrap();
        sender
            .send_to(datagram, sockets[worker].local_addr().unwrap())
            .unwrap();
        let mut buffer = [0; 64];
        sockets[worker]
            .recv(&mut buffer)
            .is_ok_and(|length| buffer[..length] == *datagram)
    }

    #[test]
    fn short_headers_reach_the_worker_of_their_second_byte_with_and_without_the_fixed_bit() {
        let sockets = group();
        for first in [0x40, 0x00, 0x7f] {
            for worker in 0..WORKERS {
                let datagram = [first, worker, 9, 9, 9, 9, 9, 9, 9, 1, 2, 3];
                assert!(
                    arrives(&sockets, worker.into(), &datagram),
                    "{first:#x} {worker}"
                );
            }
        }
    }

    #[test]
    fn long_headers_reach_the_worker_of_their_connection_id() {
        let sockets = group();
        for first in [0xc0, 0x80, 0xff] {
            for worker in 0..WORKERS {
                let datagram = [first, 0, 0, 0, 1, 8, worker, 9, 9, 9, 9, 9, 9, 9, 0];
                assert!(
                    arrives(&sockets, worker.into(), &datagram),
                    "{first:#x} {worker}"
                );
            }
        }
    }

    #[test]
    fn a_byte_beyond_the_last_worker_counts_modulo_their_number() {
        let sockets = group();
        for byte in [WORKERS, 5, 0xff] {
            let worker = usize::from(byte % WORKERS);
            assert!(arrives(&sockets, worker, &[0x40, byte, 0]));
            assert!(arrives(&sockets, worker, &[0xc0, 0, 0, 0, 1, 8, byte, 0]));
        }
    }

    #[test]
    fn the_kernel_and_the_wire_crate_read_the_same_byte() {
        let sockets = group();
        for datagram in [
            &[0x40, 2, 7][..],
            &[0x12, 1],
            &[0x80, 1, 1, 1, 1, 20, 3, 1, 1],
            &[0xf3, 1, 1, 1, 1, 1, 2],
        ] {
            let worker = worker_of(datagram).unwrap();
            assert!(arrives(&sockets, worker.into(), datagram), "{datagram:?}");
        }
    }

    #[test]
    fn a_datagram_too_short_for_a_connection_id_reaches_worker_0() {
        let sockets = group();
        for datagram in [&[0x40][..], &[0xc0, 0, 0, 0], &[]] {
            assert!(arrives(&sockets, 0, datagram), "{datagram:?}");
        }
    }

    #[test]
    fn a_long_header_with_an_empty_connection_id_reaches_some_worker() {
        let sockets = group();
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
        }
        let sender = UdpSocket::bind("[::1]:0").unwrap();
        let datagram = [0xc0, 0, 0, 0, 1, 0, 8, 1];
        sender
            .send_to(&datagram, sockets[0].local_addr().unwrap())
            .unwrap();
        let received = sockets
            .iter()
            .filter(|s| s.recv(&mut [0; 64]).is_ok())
            .count();
        assert_eq!(received, 1);
    }

    #[test]
    fn a_socket_that_is_in_no_group_is_an_error() {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        assert!(steer(&socket, WORKERS).is_err());
    }
}
