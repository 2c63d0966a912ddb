//! What comes out of the sampling.

use std::time::Duration;

/// What one ACK tells: the draft's RS (4.1.2.1.3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateSample {
    /// Bytes per second; `None` when the interval is too short to tell.
    pub(crate) rate: Option<u64>,
    /// Bytes delivered between the sending of the newest packet and now.
    pub(crate) delivered: u64,
    /// Bytes delivered on the whole connection when the newest packet was sent.
    pub(crate) prior_delivered: u64,
    /// Bytes delivered on the whole connection by now.
    pub(crate) total_delivered: u64,
    /// Bytes this ACK acknowledged.
    pub(crate) newly_acked: u64,
    /// Bytes in flight after it.
    pub(crate) in_flight: u64,
    /// Bytes in flight when the newest packet was sent, itself included.
    pub(crate) tx_in_flight: u64,
    /// Bytes found lost since the newest packet was sent.
    pub(crate) lost: u64,
    /// From the sending of the newest packet to now: the smallest of this ACK's round trips.
    pub(crate) rtt: Duration,
    /// Whether the application left the connection idle meanwhile.
    pub(crate) app_limited: bool,
}

/// What one batch of lost packets tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LossSample {
    /// Bytes of the batch.
    pub(crate) size: u64,
    /// Bytes in flight when its newest packet was sent.
    pub(crate) tx_in_flight: u64,
    /// Bytes found lost since then, the batch included.
    pub(crate) lost: u64,
    /// Whether the application was the limit then.
    pub(crate) app_limited: bool,
    /// Bytes delivered on the whole connection by now.
    pub(crate) total_delivered: u64,
}
