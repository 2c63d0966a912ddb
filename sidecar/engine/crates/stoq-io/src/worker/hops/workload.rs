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

    /// A packet for the workload, in parts: whether it leaves in this turn or when there is room, and how
    /// many packets were dropped, earlier ones or this one.
    #[must_use]
    pub(super) fn put(&mut self, parts: &[&[u8]]) -> (bool, usize) {
        let length = parts.iter().map(|part| part.len()).sum();
        let most = self.socket.max_segments();
        let dropped = match self.batch.takes(length, most) {
            true => 0,
            false => self.flush(),
        };
        if self.socket.is_blocked() {
            return (false, dropped + 1);
        }
        self.batch.put(parts);
        (true, dropped)
    }

    /// Sends what was put, unless it has to wait for room. How many packets the kernel did not take.
    #[must_use]
    pub(super) fn flush(&mut self) -> usize {
        let count = self.batch.count();
        if count == 0 || self.socket.is_blocked() {
            return 0;
        }
        let transmit = self.batch.transmit(self.address, None);
        let sent = self.socket.send(transmit, self.batch.bytes());
        // Many routes are idle most of the time, and shall not keep what a burst has taken.
        self.batch = Batch::default();
        match sent {
            Sent::Refused(_) => count,
            Sent::Done | Sent::Blocked => 0,
        }
    }
}
