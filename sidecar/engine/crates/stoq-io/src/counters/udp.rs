//! What is counted of captured UDP beside plain counters.

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
