//! Captured TCP connections.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use stoq_core::table::Reason;

use super::start::ListenerKind;
use super::{Timer, Worker};
use crate::socket::tcp;
use crate::socket::udp::canonical;

/// Connections accepted per listener and turn.
const ACCEPTS: usize = 64;

/// Pause after the process ran out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

impl Worker {
    /// Takes waiting connections off the listeners.
    pub(super) fn accept(&mut self, now: Instant) {
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                if !self.listeners[index].ready {
                    break;
                }
                self.accept_one(index, now);
            }
        }
    }

    fn accept_one(&mut self, index: usize, now: Instant) {
        let listener = &mut self.listeners[index];
        match listener.socket.accept() {
            Ok((stream, source)) => {
                let kind = listener.kind;
                tcp::tune(&stream);
                self.accepted(kind, stream, canonical(source), now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.ready = false,
            Err(error) if is_exhausted(&error) => {
                listener.ready = false;
                self.timers.set(now + PAUSE, Timer::Accept);
                self.shared.log.error(format_args!(
                    "cannot accept: {error}; raise the limit of open files (RLIMIT_NOFILE)"
                ));
            }
            // The client gave up before we came: the next one may be fine.
            Err(_) => {}
        }
    }

    pub(super) fn accepted(
        &mut self,
        kind: ListenerKind,
        stream: TcpStream,
        source: SocketAddr,
        now: Instant,
    ) {
        if self.is_full() {
            self.refuse(stream, source, Reason::TooManyRelays);
            return;
        }
        // A socket that was handed in may take both families.
        if self.refuses_ipv4(source) {
            self.refuse(stream, source, Reason::Ipv4Refused);
            return;
        }
        match kind {
            ListenerKind::Outbound => self.accept_outbound(stream, source, now),
            ListenerKind::Inbound => self.accept_plaintext(stream, source, now),
        }
    }
}

/// Whether no accept can succeed until something is freed.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
