//! BBR version 3, as draft-ietf-ccwg-bbr specifies it (the editor's copy of August 2026, whose
//! section numbers and names the modules give).
//!
//! | module | sections |
//! |---|---|
//! | `params` | 2.5 to 2.16 the constants, 5.6.1 the gains of each state |
//! | `cycle` | 5.2.3 the order of the steps on an ACK |
//! | `model` | 5.5.1 rounds, 5.5.2 to 5.5.6 `max_bw`, 5.5.9 `extra_acked` |
//! | `startup` | 5.3.1 Startup, 5.3.2 Drain |
//! | `probe_bw` | 5.3.3 ProbeBW |
//! | `probe_rtt` | 5.3.4 ProbeRTT, 5.4 restart from idle, 5.5.7 `min_rtt` |
//! | `doubt` | a path that has become longer: in place of the ten seconds of 2.14.1 |
//! | `loss` | 5.5.10 the model upon loss, 3.6 ECN |
//! | `control` | 5.6.2 pacing rate, 5.6.3 send quantum, 5.6.4 window |
//!
//! What quinn-proto's trait cannot feed, and what stands for it:
//!
//! | the draft wants | the trait gives | what stands for it |
//! |---|---|---|
//! | a snapshot in each packet (4.1.2.1.2) | the send time of each packet | snapshots per send time ([`crate::delivery`]) |
//! | each lost packet (5.5.10.2) | the bytes of a batch and the send time of its newest packet | the batch is one "packet", as an offload burst is in the draft |
//! | discontiguous lost ranges in Startup (5.3.1.3) | one call per ACK that reveals losses | such ACKs are counted, as Linux's version 3 does |
//! | the number of CE marks | one call per ACK on which it grew | such an ACK ends a probe and lowers the bounds as a round with loss does; 3.6 leaves the response open |
//! | spurious losses (5.5.11) | nothing: quinn-proto forgets a lost packet and ignores its late ACK | nothing; the next probe restores the model, 2 to 3 s or 63 rounds later |
//! | `is_cwnd_limited` | nothing | what was in flight before the ACK is compared with the window |
//! | `C.inflight` against a bound (5.3.3.9) | what is in flight after the ACK | what was before it, as Linux's version 3 reads it: after it the bound would never be met |
//! | a retransmission timeout (5.6.4.4) | persistent congestion | taken as one |
//! | unsent data, for application limits (4.1.2.4) | whether the last attempt to send ran dry | that, at each ACK, or less than half of what is allowed being in flight |

mod control;
mod cycle;
mod doubt;
mod loss;
mod model;
mod params;
mod probe_bw;
mod probe_rtt;
mod startup;

use std::time::{Duration, Instant};

use crate::filter::WindowedMax;
use crate::random::Dither;
pub(crate) use params::State;

/// No bound: the draft's Infinity.
const UNBOUNDED: u64 = u64::MAX;

/// What a flow begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) now: Instant,
    /// Bytes of a datagram.
    pub(crate) mtu: u64,
    /// Bytes that may be in flight.
    pub(crate) window: u64,
    /// Smallest round trip, when one is known.
    pub(crate) min_rtt: Option<Duration>,
    /// See [`crate::AdaptiveConfig::new`].
    pub(crate) seed: u64,
}

/// State of one flow. Field names are the draft's; volumes in bytes, rates in bytes per second.
#[derive(Debug, Clone)]
pub(crate) struct Bbr {
    state: State,
    mtu: u64,
    initial_cwnd: u64,
    dither: Dither,

    // Outputs.
    cwnd: u64,
    pacing_rate: u64,
    send_quantum: u64,

    // Rounds and bandwidth.
    delivered: u64,
    round_count: u32,
    round_start: bool,
    next_round_delivered: u64,
    /// The previous ProbeBW cycle's maximum and the current one's.
    max_bw_filter: [u64; 2],
    max_bw: u64,
    bw: u64,

    // Round-trip time.
    min_rtt: Option<Duration>,
    min_rtt_stamp: Instant,
    probe_rtt_min_delay: Duration,
    probe_rtt_min_stamp: Instant,
    probe_rtt_expired: bool,
    probe_rtt_done_stamp: Option<Instant>,
    probe_rtt_round_done: bool,
    idle_restart: bool,
    doubt: doubt::Doubt,

    // Aggregation.
    extra_acked: WindowedMax<u32, u64>,
    extra_acked_interval_start: Instant,
    extra_acked_delivered: u64,

    // Full pipe.
    full_bw_reached: bool,
    full_bw_now: bool,
    full_bw: u64,
    full_bw_count: u8,
    drain_start_round: u32,

    // Congestion signals.
    bw_latest: u64,
    inflight_latest: u64,
    loss_round_delivered: u64,
    loss_round_start: bool,
    is_loss_in_round: bool,
    loss_events_in_round: u32,
    bw_shortterm: u64,
    inflight_shortterm: u64,
    inflight_longterm: u64,
    prior_cwnd: u64,
    /// End of a timeout's recovery, in delivered bytes.
    recovery_end: Option<u64>,

    // Bandwidth probing.
    ack_phase: params::AckPhase,
    is_bw_probe_sample: bool,
    bw_probe_up_acked: u64,
    probe_up_acked_per_inc: u64,
    bw_probe_up_rounds: u32,
    rounds_since_probe_up: u64,
    bw_probe_wait: Duration,
    cycle_stamp: Instant,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
}

impl Bbr {
    /// 5.2.1, OnInit. `seed` staggers the probes of flows that start together.
    pub(crate) fn new(start: Start) -> Self {
        let Start {
            now,
            mtu,
            window: initial_cwnd,
            ..
        } = start;
        let mut bbr = Self {
            state: State::Startup,
            mtu,
            initial_cwnd,
            dither: Dither::new(start.seed),
            cwnd: initial_cwnd,
            pacing_rate: 0,
            send_quantum: 2 * mtu,
            delivered: 0,
            round_count: 0,
            round_start: false,
            next_round_delivered: 0,
            max_bw_filter: [0; 2],
            max_bw: 0,
            bw: 0,
            min_rtt: None,
            min_rtt_stamp: now,
            probe_rtt_min_delay: Duration::MAX,
            probe_rtt_min_stamp: now,
            probe_rtt_expired: false,
            probe_rtt_done_stamp: None,
            probe_rtt_round_done: false,
            idle_restart: false,
            doubt: doubt::Doubt::default(),
            extra_acked: WindowedMax::new(0, 0),
            extra_acked_interval_start: now,
            extra_acked_delivered: 0,
            full_bw_reached: false,
            full_bw_now: false,
            full_bw: 0,
            full_bw_count: 0,
            drain_start_round: 0,
            bw_latest: 0,
            inflight_latest: 0,
            loss_round_delivered: 0,
            loss_round_start: false,
            is_loss_in_round: false,
            loss_events_in_round: 0,
            bw_shortterm: UNBOUNDED,
            inflight_shortterm: UNBOUNDED,
            inflight_longterm: UNBOUNDED,
            prior_cwnd: 0,
            recovery_end: None,
            ack_phase: params::AckPhase::Init,
            is_bw_probe_sample: false,
            bw_probe_up_acked: 0,
            probe_up_acked_per_inc: UNBOUNDED,
            bw_probe_up_rounds: 0,
            rounds_since_probe_up: 0,
            bw_probe_wait: Duration::ZERO,
            cycle_stamp: now,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
        };
        match start.min_rtt {
            Some(rtt) => bbr.first_rtt(now, rtt),
            None => bbr.init_pacing_rate(Duration::from_millis(1)),
        }
        bbr
    }

    /// Whether the path has been filled at some time.
    pub(crate) fn has_filled_the_pipe(&self) -> bool {
        self.full_bw_reached
    }

    /// Bytes that may be in flight.
    pub(crate) fn cwnd(&self) -> u64 {
        self.cwnd
    }

    /// Bytes per second at which to send.
    pub(crate) fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }

    /// Bytes to send at once.
    pub(crate) fn send_quantum(&self) -> u64 {
        self.send_quantum
    }

    /// A larger or smaller datagram fits the path.
    pub(crate) fn set_mtu(&mut self, mtu: u64) {
        self.mtu = mtu;
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
    }
}

/// Tests on traces: what comes out for ACKs and losses written by hand.
#[cfg(test)]
mod tests;
