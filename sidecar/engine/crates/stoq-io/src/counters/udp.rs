//! What is counted of captured UDP.

use super::{Counters, add, position};
use crate::worker::Direction;

/// Why a captured datagram is dropped. Also the label of a counter, so the set is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpDrop {
    /// The table or a policy refuses its flow.
    Refused,
    /// No routing table has come yet.
    Undecided,
    /// As many flows are open as the limits allow.
    TooManyFlows,
    /// The peer does not know captured UDP.
    NoExtension,
    /// A queue was full: the path or the peer takes less than the application sends.
    QueueFull,
    /// No flow has it: it came too late, or too long before its flow.
    NoFlow,
    /// The kernel did not take it.
    Kernel,
}

impl UdpDrop {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Undecided,
        Self::TooManyFlows,
        Self::NoExtension,
        Self::QueueFull,
        Self::NoFlow,
        Self::Kernel,
    ];

    /// The name used in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Undecided => "undecided",
            Self::TooManyFlows => "too_many_flows",
            Self::NoExtension => "no_extension",
            Self::QueueFull => "queue_full",
            Self::NoFlow => "no_flow",
            Self::Kernel => "kernel",
        }
    }
}

impl Counters {
    /// A flow of captured UDP has begun.
    pub(crate) fn udp_flow_opened(&self, direction: Direction, plain: bool) {
        let value = match (plain, direction) {
            (true, _) => &self.values.captured_udp_plain,
            (false, Direction::Outbound) => &self.values.captured_udp_outbound,
            (false, Direction::Inbound) => &self.values.captured_udp_inbound,
        };
        add(value, 1);
    }

    /// A captured datagram went on.
    pub fn udp_moved_out(&self, bytes: u64) {
        add(&self.values.captured_udp_sent, 1);
        add(&self.values.captured_udp_sent_bytes, bytes);
    }

    /// A captured datagram is about to leave the pod in plaintext.
    pub fn udp_plain(&self, bytes: u64) {
        add(&self.values.captured_udp_plain_bytes, bytes);
    }

    /// A datagram was handed to an application.
    pub fn udp_moved_in(&self, bytes: u64) {
        add(&self.values.captured_udp_received, 1);
        add(&self.values.captured_udp_received_bytes, bytes);
    }

    /// A datagram goes by its flow's stream.
    pub fn udp_streamed(&self) {
        add(&self.values.captured_udp_streamed, 1);
    }

    /// A captured datagram was dropped.
    pub fn udp_dropped(&self, why: UdpDrop) {
        add(&self.udp_dropped[position(&UdpDrop::ALL, &why)], 1);
    }
}
