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

    /// The socket has sent what might have gone past the stack.
    pub(crate) fn xsk_fell_back(&self, why: XskFallback) {
        add(&self.xsk_fallbacks[position(&XskFallback::ALL, &why)], 1);
    }
}
