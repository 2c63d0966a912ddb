//! Constants of the draft (2.4 to 2.16) and the gains of each state (5.6.1).

use std::time::Duration;

/// States of the flow (5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Startup,
    Drain,
    ProbeBwDown,
    ProbeBwCruise,
    ProbeBwRefill,
    ProbeBwUp,
    ProbeRtt,
}

/// What the ACKs that arrive now tell about a bandwidth probe (2.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

/// Loss in a round that is tolerated while probing (2.7).
pub(super) const LOSS_THRESH: f64 = 0.02;

/// Most that one round of loss takes away: to 0.7 (2.7), as CUBIC does (RFC 9438, 4.6).
pub(super) const BETA: f64 = 0.7;

/// Share of `inflight_longterm` that is left to others while cruising (2.7).
pub(super) const HEADROOM: f64 = 0.15;

/// Datagrams that are always allowed in flight (2.7).
pub(super) const MIN_PIPE_PACKETS: u64 = 4;

/// The pacing rate stays 1 % below the bandwidth, so that queues drain (2.5).
pub(super) const PACING_MARGIN: f64 = 0.01;

/// Growth from round to round below which the pipe counts as full, and how often (5.3.1.2).
pub(super) const FULL_BW_GROWTH: f64 = 1.25;
/// See [`FULL_BW_GROWTH`].
pub(super) const FULL_BW_COUNT: u8 = 3;

/// Losses in a round that end Startup (5.3.1.3).
pub(super) const STARTUP_FULL_LOSS_COUNT: u32 = 6;

/// Rounds after which Drain ends whatever is in flight (5.3.2).
pub(super) const DRAIN_ROUNDS: u32 = 3;

/// Rounds over which the largest aggregation is remembered (2.10).
pub(super) const EXTRA_ACKED_ROUNDS: u32 = 10;

/// Age at which the smallest round trip is replaced (2.14.1).
pub(super) const MIN_RTT_FILTER: Duration = Duration::from_secs(10);

/// Time between two ProbeRTT, and how long one lasts at least (2.14.2).
pub(super) const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// See [`PROBE_RTT_INTERVAL`].
pub(super) const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

/// Multiple of the smallest round trip from which it is doubted: the window's gain (5.6.1), so the
/// window is too small for a path that is longer.
pub(super) const FAR: u32 = 2;

/// Whole rounds that must be so far: a probe for bandwidth and the draining after it are shorter.
pub(super) const DOUBT_ROUNDS: u8 = 2;

/// Time after a doubt until the next: each drains, and where round trips jitter one in a thousand may
/// fit the model.
pub(super) const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// Longest time between bandwidth probes: this and up to a second more (5.3.3.8).
pub(super) const PROBE_WAIT: Duration = Duration::from_secs(2);

/// The same in rounds, so that Reno and CUBIC get their share on short paths (5.3.3.8).
pub(super) const RENO_ROUNDS: u64 = 63;

/// Largest and smallest aggregate: a millisecond's worth within these (5.6.3).
pub(super) const MOST_QUANTUM: u64 = 64 * 1024;
/// Datagrams; see [`MOST_QUANTUM`].
pub(super) const LEAST_QUANTUM_PACKETS: u64 = 2;

impl State {
    /// Multiple of the bandwidth at which to send (5.6.1).
    pub(super) fn pacing_gain(self) -> f64 {
        match self {
            // 4 ln 2: the least that doubles the rate each round.
            Self::Startup => 2.77,
            Self::Drain => 0.5,
            Self::ProbeBwDown => 0.90,
            Self::ProbeBwUp => 1.25,
            Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeRtt => 1.0,
        }
    }

    /// Multiple of the bandwidth-delay product that may be in flight (5.6.1).
    pub(super) fn cwnd_gain(self) -> f64 {
        match self {
            Self::ProbeBwUp => 2.25,
            Self::ProbeRtt => 0.5,
            _ => 2.0,
        }
    }

    /// IsInAProbeBWState (5.3.3.9).
    pub(super) fn is_probe_bw(self) -> bool {
        matches!(
            self,
            Self::ProbeBwDown | Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeBwUp
        )
    }

    /// IsProbingBW (5.3.3.9).
    pub(super) fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::ProbeBwRefill | Self::ProbeBwUp)
    }
}
