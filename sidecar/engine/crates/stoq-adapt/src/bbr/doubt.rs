//! A path whose delay has grown: what the draft leaves to the ten seconds of its filter (2.14.1,
//! 5.5.7). Our deviation from 5.3.4.3.
//!
//! The window is two products of bandwidth and smallest round trip, so it fits until the round trip
//! has doubled. If every round trip of some rounds is longer than that, either a queue stands or
//! the path has become longer, and no sample of either tells which: what is in flight is the
//! product of rate and round trip in both. So the flow drains, as ProbeRTT does, but at once. A
//! queue of ours is gone after a round; then the probe ends as soon as a round trip shows it. If the
//! round trip stays, it is the path's, or a queue of others that ten seconds would not outlast
//! either.

use std::time::{Duration, Instant};

use super::model::scale;
use super::params::{DOUBT_PAUSE, DOUBT_ROUNDS, FAR, FULL_BW_GROWTH};
use super::{Bbr, State, UNBOUNDED};
use crate::delivery::RateSample;

/// Whether the smallest round trip still holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubt {
    /// Rounds in a row without a round trip that fits the model.
    far_rounds: u8,
    /// Largest rate of these rounds, in bytes per second.
    far_rate: u64,
    /// Whether the application was the limit before ProbeRTT, whose samples are all marked.
    app_limited: bool,
    /// No further doubt before.
    pause_until: Option<Instant>,
    /// While ProbeRTT resolves it.
    probe: Option<Probe>,
    /// Smallest round trip of a path that was found to be longer, until somebody asks.
    moved: Option<Duration>,
}

/// A ProbeRTT out of doubt.
#[derive(Debug, Clone, Copy)]
struct Probe {
    /// Bytes per second that were delivered before it.
    rate: u64,
    /// Smallest round trip of what was sent once the flow had drained.
    rtt: Duration,
}

impl Bbr {
    /// Smallest round trip of a path that has been found to be longer since this was last asked.
    pub(crate) fn take_moved(&mut self) -> Option<Duration> {
        self.doubt.moved.take()
    }

    /// Whether the window is too small if a round trip is the path's.
    fn is_far(&self, rtt: Duration) -> bool {
        self.min_rtt.is_some_and(|least| rtt > least * FAR)
    }

    /// Whether the last rounds may tell what the window lets through and not what the path carries.
    /// Not after a doubt without ground: then it is the bandwidth that has to be forgotten.
    pub(super) fn may_be_window_limited(&self) -> bool {
        (1..=DOUBT_ROUNDS).contains(&self.doubt.far_rounds)
    }

    /// Whether to find out at once. Samples that the application limits say nothing: its ACKs are
    /// late, and it does not need the window.
    pub(super) fn doubts_min_rtt(&mut self, now: Instant, rs: &RateSample) -> bool {
        if self.state != State::ProbeRtt {
            self.doubt.app_limited = rs.app_limited;
        }
        let settled = self.state.is_probe_bw() || self.state == State::ProbeRtt;
        if !settled || self.doubt.app_limited || !self.is_far(rs.rtt) {
            self.doubt.far_rounds = 0;
            self.doubt.far_rate = 0;
            return false;
        }
        let doubt = &mut self.doubt;
        doubt.far_rounds = doubt.far_rounds.saturating_add(u8::from(self.round_start));
        doubt.far_rate = doubt.far_rate.max(rs.rate.unwrap_or(0));
        // The first of them may have begun before the path changed.
        doubt.probe.is_none()
            && doubt.far_rounds > DOUBT_ROUNDS
            && doubt.far_rate > 0
            && doubt.pause_until.is_none_or(|until| now >= until)
    }

    /// ProbeRTT begins, or begins anew, out of doubt.
    pub(super) fn begin_doubt(&mut self) {
        self.doubt.probe = Some(Probe {
            rate: self.doubt.far_rate,
            rtt: Duration::MAX,
        });
    }

    /// Bytes in flight at which a queue of ours is gone, whatever the bandwidth is taken for: half
    /// a product of what is delivered now.
    pub(super) fn doubt_cwnd(&self) -> u64 {
        self.doubt.probe.map_or(UNBOUNDED, |probe| {
            self.bdp_multiple(probe.rate, State::ProbeRtt.cwnd_gain())
        })
    }

    /// Takes in an ACK of a ProbeRTT out of doubt; whether it is over, because the queue was ours.
    pub(super) fn resolve_doubt(&mut self, rs: &RateSample) -> bool {
        // What this ACK names was sent after the flow had drained.
        let drained =
            self.probe_rtt_done_stamp.is_some() && (self.probe_rtt_round_done || self.round_start);
        let far = self.is_far(rs.rtt);
        let Some(probe) = &mut self.doubt.probe else {
            return false;
        };
        if drained {
            probe.rtt = probe.rtt.min(rs.rtt);
        }
        if far {
            return false;
        }
        // A queue of ours that stood for rounds: as much as a cycle tells, and there may be none
        // while doubts begin its wait anew.
        self.advance_max_bw_filter();
        true
    }

    /// ProbeRTT ends: what it has found out.
    pub(super) fn end_doubt(&mut self, now: Instant) {
        let Some(probe) = self.doubt.probe.take() else {
            return;
        };
        self.doubt.pause_until = Some(now + DOUBT_PAUSE);
        if probe.rtt == Duration::MAX || !self.is_far(probe.rtt) {
            return;
        }
        self.min_rtt = Some(probe.rtt);
        self.min_rtt_stamp = now;
        self.probe_rtt_min_delay = probe.rtt;
        self.doubt.moved = Some(probe.rtt);
        // A volume of the shorter path.
        self.inflight_longterm = UNBOUNDED;
        self.prev_probe_too_high = false;
        self.prev_probe_precautionary = false;
        // Remembered for one more cycle: since the path has changed only the window was measured.
        self.max_bw_filter = [self.max_bw; 2];
        let window_allowed = (self.prior_cwnd as f64 / probe.rtt.as_secs_f64()) as u64;
        if self.max_bw <= scale(window_allowed, FULL_BW_GROWTH) {
            // Known is only what the window let through.
            self.restart_startup();
        }
    }
}
