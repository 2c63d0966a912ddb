//! What is counted of tunnels.

use super::{Counters, add, position};

/// Why a packet of a tunnel is dropped. Also the label of a counter, so the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopDrop {
    /// A queue was full: the path takes less than is sent.
    Full,
    /// No tunnel has it: it came too late, too long before its tunnel, or beside it from somebody else; or
    /// the tunnel ended before it could leave.
    NoTunnel,
    /// It came out of a tunnel and is not of the connection inside.
    Foreign,
    /// A probe beside a tunnel, sooner after another than is answered.
    Probe,
    /// It is empty, or longer than a packet may be.
    TooLong,
    /// The kernel did not take it, or said that an earlier one was not taken.
    Kernel,
}

impl HopDrop {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Full,
        Self::NoTunnel,
        Self::Foreign,
        Self::Probe,
        Self::TooLong,
        Self::Kernel,
    ];

    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "queue_full",
            Self::NoTunnel => "no_tunnel",
            Self::Foreign => "foreign",
            Self::Probe => "unanswered_probe",
            Self::TooLong => "too_long",
            Self::Kernel => "kernel",
        }
    }
}

impl Counters {
    /// A peer's route was taken.
    pub fn route_opened(&self) {
        add(&self.values.routes_opened, 1);
    }

    /// A peer's route was refused.
    pub fn route_refused(&self) {
        add(&self.values.routes_refused, 1);
    }

    /// A packet of a route went on.
    pub fn hop_forwarded(&self, bytes: u64) {
        add(&self.values.hop_packets, 1);
        add(&self.values.hop_bytes, bytes);
    }

    /// A packet goes by the stream of its tunnel.
    pub fn hop_streamed(&self) {
        add(&self.values.hop_streamed, 1);
    }

    /// A packet went beside its tunnel.
    pub fn hop_beside(&self) {
        add(&self.values.hop_beside, 1);
    }

    /// Packets do not get through beside a tunnel any more.
    pub fn hop_given_up(&self) {
        add(&self.values.hop_given_up, 1);
    }

    /// A packet of a tunnel was dropped.
    pub fn hop_dropped(&self, why: HopDrop) {
        self.hops_dropped(why, 1);
    }

    /// So many of them were.
    pub fn hops_dropped(&self, why: HopDrop, count: usize) {
        add(
            &self.hop_dropped[position(&HopDrop::ALL, &why)],
            count as u64,
        );
    }
}
