//! The socket at the end of a route: packets of one length that come together leave together.

use std::net::SocketAddr;

use super::batch::Batch;
use crate::socket::udp::{Datagrams, Sent};

/// The workload at the end of a route. The kernel hands over what it has sent, and nothing else.
pub(super) struct Workload {
    pub(super) socket: Datagrams,
    pub(super) address: SocketAddr,
    /// Whether the socket may have datagrams.
    pub(super) readable: bool,
    /// Packets that leave in this turn.
    batch: Batch,
}

impl Workload {
    pub(super) fn new(socket: Datagrams, address: SocketAddr) -> Self {
        Self {
            socket,
            address,
            readable: true,
            batch: Batch::default(),
        }
    }

    /// A packet for the workload, in parts. False: earlier ones, or this one, could not be sent.
    #[must_use]
    pub(super) fn put(&mut self, parts: &[&[u8]]) -> bool {
        let length = parts.iter().map(|part| part.len()).sum();
        let most = self.socket.max_segments();
        let sent = self.batch.takes(length, most) || self.flush();
        if self.socket.is_blocked() {
            return false;
        }
        self.batch.put(parts);
        sent
    }

    /// Sends what was put. False: the kernel did not take it.
    #[must_use]
    pub(super) fn flush(&mut self) -> bool {
        if self.batch.count() == 0 || self.socket.is_blocked() {
            return self.batch.count() == 0;
        }
        let transmit = self.batch.transmit(self.address, None);
        let sent = self.socket.send(transmit, self.batch.bytes());
        // Many routes are idle most of the time, and shall not keep what a burst has taken.
        self.batch = Batch::default();
        !matches!(sent, Sent::Refused(_))
    }
}
