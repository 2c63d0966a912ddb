//! What is counted of datagrams that go past the kernel's stack.

use super::{Counters, add, position};

/// Why the socket has sent instead. Also the label of a counter, so the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XskFallback {
    /// The peer's address on the link is not known, or in doubt: the kernel resolves it.
    Neighbour,
    /// The way leads over another interface.
    Route,
    /// The rings are full.
    Ring,
    /// A datagram is larger than the interface's packets.
    Size,
    /// The interface is down or gone.
    Link,
}

impl XskFallback {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Neighbour,
        Self::Route,
        Self::Ring,
        Self::Size,
        Self::Link,
    ];

    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Neighbour => "neighbour",
            Self::Route => "route",
            Self::Ring => "ring",
            Self::Size => "size",
            Self::Link => "link",
        }
    }
}

/// Why a frame that came was dropped. Also the label of a counter, so the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XskDrop {
    /// It has more parts than the kernel makes of a packet.
    Parts,
    /// It is longer than the interface's packets.
    Length,
    /// A part of it lies outside of the memory.
    Memory,
    /// The kernel found no room for all of it in the ring.
    Ring,
    /// The kernel found no chunk for each part of it.
    Chunks,
}

impl XskDrop {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Parts,
        Self::Length,
        Self::Memory,
        Self::Ring,
        Self::Chunks,
    ];

    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parts => "parts",
            Self::Length => "length",
            Self::Memory => "memory",
            Self::Ring => "ring",
            Self::Chunks => "chunks",
        }
    }
}

impl Counters {
    /// Frames were sent past the stack.
    pub(crate) fn xsk_sent(&self, frames: u64) {
        add(&self.values.af_xdp_frames_sent, frames);
    }

    /// Frames came past it; some of them were `malformed`.
    pub(crate) fn xsk_received(&self, frames: u64, malformed: u64) {
        add(&self.values.af_xdp_frames_received, frames);
        add(&self.values.af_xdp_frames_malformed, malformed);
    }

    /// Frames that came past it were dropped.
    pub(crate) fn xsk_dropped(&self, why: XskDrop, frames: u64) {
        add(&self.xsk_dropped[position(&XskDrop::ALL, &why)], frames);
    }

    /// The socket has sent what might have gone past the stack.
    pub(crate) fn xsk_fell_back(&self, why: XskFallback) {
        add(&self.xsk_fallbacks[position(&XskFallback::ALL, &why)], 1);
    }
}
