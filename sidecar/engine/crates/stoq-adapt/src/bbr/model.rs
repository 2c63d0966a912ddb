//! Rounds, bandwidth and aggregation (5.5.1 to 5.5.6, 5.5.9).

use std::time::{Duration, Instant};

use super::{Bbr, UNBOUNDED, params};
use crate::delivery::RateSample;

impl Bbr {
    /// 5.5.1, StartRound.
    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// 5.5.1, UpdateRound.
    fn update_round(&mut self, rs: &RateSample) {
        self.round_start = rs.prior_delivered >= self.next_round_delivered;
        if self.round_start {
            self.start_round();
            self.round_count += 1;
            self.rounds_since_probe_up += 1;
        }
    }

    /// 5.5.5, UpdateMaxBw: an application-limited sample counts only when it is larger than what
    /// is known (5.5.4).
    pub(super) fn update_max_bw(&mut self, rs: &RateSample) {
        self.update_round(rs);
        if let Some(rate) = rs.rate
            && rate > 0
            && (rate >= self.max_bw || !rs.app_limited)
        {
            self.max_bw_filter[1] = self.max_bw_filter[1].max(rate);
            self.max_bw = self.max_bw_filter[0].max(self.max_bw_filter[1]);
        }
    }

    /// 5.5.6, AdvanceMaxBwFilter: the window is the previous probing cycle and this one. A cycle
    /// that saw no sample keeps the one before it.
    pub(super) fn advance_max_bw_filter(&mut self) {
        if self.max_bw_filter[1] == 0 {
            return;
        }
        self.max_bw_filter = [self.max_bw_filter[1], 0];
        self.max_bw = self.max_bw_filter[0];
    }

    /// 5.5.10.3, BoundBWForModel.
    pub(super) fn bound_bw_for_model(&mut self) {
        self.bw = self.max_bw.min(self.bw_shortterm);
    }

    /// 5.5.9, UpdateACKAggregation: over 10 rounds, in Startup over one.
    pub(super) fn update_ack_aggregation(&mut self, now: Instant, rs: &RateSample) {
        let interval = now.saturating_duration_since(self.extra_acked_interval_start);
        let mut expected = volume(self.bw, interval);
        if self.extra_acked_delivered <= expected {
            self.extra_acked_delivered = 0;
            self.extra_acked_interval_start = now;
            expected = 0;
        }
        self.extra_acked_delivered += rs.newly_acked;
        let extra = (self.extra_acked_delivered - expected).min(self.cwnd);
        let window = if self.full_bw_reached {
            params::EXTRA_ACKED_ROUNDS
        } else {
            1
        };
        self.extra_acked.update(self.round_count, extra, window);
    }

    /// 5.6.4.2, BDPMultiple.
    pub(super) fn bdp_multiple(&self, bandwidth: u64, gain: f64) -> u64 {
        let Some(min_rtt) = self.min_rtt else {
            return self.initial_cwnd;
        };
        scale(volume(bandwidth, min_rtt), gain)
    }

    /// 5.5.10.3, ResetShortTermModel.
    pub(super) fn reset_short_term_model(&mut self) {
        self.bw_shortterm = UNBOUNDED;
        self.inflight_shortterm = UNBOUNDED;
    }
}

/// Bytes, a terabyte: more than any path holds. Sums of bounded volumes cannot overflow, whatever
/// round trips and rates a peer makes us measure.
const MOST_VOLUME: f64 = 1e12;

/// Bytes that a rate in bytes per second delivers in a time.
pub(super) fn volume(rate: u64, time: Duration) -> u64 {
    (rate as f64 * time.as_secs_f64()).min(MOST_VOLUME) as u64
}

/// A volume or a rate times a gain.
pub(super) fn scale(value: u64, gain: f64) -> u64 {
    (value as f64 * gain) as u64
}
