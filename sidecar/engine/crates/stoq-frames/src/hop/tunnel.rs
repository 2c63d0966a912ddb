//! What waits on one route, and for how long it has forwarded nothing.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use stoq_wire::frame::hop::{MAX_PACKET_LEN, packet_overhead};

use super::Limits;

/// What a waiting packet counts for beside its bytes.
const ENTRY: usize = 64;

/// How a packet goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// In a datagram.
    Datagram,
    /// On the stream of the tunnel.
    Stream,
    /// Not at all: it is empty, or longer than a packet may be.
    Nowhere,
}

/// How an inner packet of `length` bytes goes on a tunnel, where a datagram of the outer connection
/// takes `room` bytes now; `None` where there are no datagrams (G4).
#[must_use]
pub fn fit(tunnel: u64, length: usize, room: Option<usize>) -> Fit {
    let frame = length + packet_overhead(tunnel, length);
    match room {
        _ if length == 0 || length as u64 > MAX_PACKET_LEN => Fit::Nowhere,
        Some(room) if frame <= room => Fit::Datagram,
        _ => Fit::Stream,
    }
}

/// One direction of a tunnel: the packets that wait until its connection takes them.
#[derive(Debug)]
pub struct Tunnel {
    limits: Limits,
    waiting: VecDeque<Bytes>,
    /// What they count for.
    held: usize,
    used: Instant,
}

impl Tunnel {
    /// One on which nothing waits.
    #[must_use]
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            held: 0,
            used: now,
        }
    }

    /// A packet waits until it can be sent: whether there is room for it. Else drop it (G4).
    pub fn put(&mut self, packet: Bytes) -> bool {
        let counted = packet.len() + ENTRY;
        let room = self.held + counted <= self.limits.bytes;
        if room {
            self.held += counted;
            self.waiting.push_back(packet);
        }
        room
    }

    /// The packet that is due, which leaves.
    pub fn take(&mut self) -> Option<Bytes> {
        let packet = self.waiting.pop_front()?;
        self.held -= packet.len() + ENTRY;
        Some(packet)
    }

    /// Puts back what was taken and could not be sent yet: it is due next.
    pub fn put_back(&mut self, packet: Bytes) {
        self.held += packet.len() + ENTRY;
        self.waiting.push_front(packet);
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A packet was forwarded, in either direction.
    pub fn forwarded(&mut self, now: Instant) {
        self.used = now;
    }

    /// When the route ends if it forwards nothing more: with `timed_out` (G5).
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.used + self.limits.idle
    }
}
