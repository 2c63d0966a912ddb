//! The socket at the end of a route: packets of one length that come together leave together.

use std::net::SocketAddr;

use quinn_proto::Transmit;

use crate::socket::udp::{Datagrams, Sent};

/// Bytes that leave at once: the kernel's limit for a UDP payload, less headers.
const MOST: usize = 65_000;

/// The workload at the end of a route. The kernel hands over what it has sent, and nothing else.
pub(super) struct Workload {
    pub(super) socket: Datagrams,
    pub(super) address: SocketAddr,
    /// Whether the socket may have datagrams.
    pub(super) readable: bool,
    /// Packets that leave in this turn: all of one length, but the last may be shorter.
    batch: Vec<u8>,
    length: usize,
    count: usize,
}

impl Workload {
    pub(super) fn new(socket: Datagrams, address: SocketAddr) -> Self {
        Self {
            socket,
            address,
            readable: true,
            batch: Vec::new(),
            length: 0,
            count: 0,
        }
    }

    /// A packet for the workload. False: earlier ones, or this one, could not be sent.
    #[must_use]
    pub(super) fn put(&mut self, packet: &[u8]) -> bool {
        let whole = self.batch.len() == self.count * self.length;
        let joins = whole
            && packet.len() <= self.length
            && self.batch.len() + packet.len() <= MOST
            && self.count < self.socket.max_segments();
        let sent = joins || self.flush();
        if self.socket.is_blocked() {
            return false;
        }
        if self.count == 0 {
            self.length = packet.len();
        }
        self.batch.extend_from_slice(packet);
        self.count += 1;
        sent
    }

    /// Sends what was put. False: the kernel did not take it.
    #[must_use]
    pub(super) fn flush(&mut self) -> bool {
        if self.count == 0 || self.socket.is_blocked() {
            return self.count == 0;
        }
        let transmit = Transmit {
            destination: self.address,
            ecn: None,
            size: self.batch.len(),
            segment_size: (self.count > 1).then_some(self.length),
            src_ip: None,
        };
        let sent = self.socket.send(transmit, &mut self.batch);
        // Many routes are idle most of the time, and shall not keep what a burst has taken.
        self.batch = Vec::new();
        self.count = 0;
        !matches!(sent, Sent::Refused(_))
    }
}
