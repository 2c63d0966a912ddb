//! How a flow begins: Startup and Drain (5.3.1, 5.3.2), or with what is known already.

use std::time::Instant;

use super::model::scale;
use super::params::AckPhase;
use super::{Bbr, Start, State, UNBOUNDED, params};
use crate::delivery::RateSample;

impl Bbr {
    /// A flow that has filled its path under another controller goes on in ProbeBW, whose next
    /// probe corrects what it was told; Startup would put a queue on a path that is in use.
    /// `rate`: bytes per second that the path carries.
    pub(crate) fn resume(start: Start, rate: u64) -> Self {
        let mut bbr = Self::new(start);
        bbr.full_bw_reached = true;
        bbr.max_bw_filter = [0, rate];
        bbr.max_bw = rate;
        bbr.bw = rate;
        bbr.start_probe_bw_down(start.now);
        bbr.set_pacing_rate();
        bbr
    }

    /// Searches for the bandwidth anew. For a path that is known to have changed for the better:
    /// without it the bandwidth grows by a quarter per round, and only after the next probe begins.
    pub(crate) fn restart_startup(&mut self) {
        self.full_bw_reached = false;
        self.reset_full_bw();
        self.reset_short_term_model();
        self.inflight_longterm = UNBOUNDED;
        self.prev_probe_too_high = false;
        self.prev_probe_precautionary = false;
        self.is_bw_probe_sample = false;
        self.ack_phase = AckPhase::Init;
        if self.state != State::ProbeRtt {
            self.enter_startup();
        }
    }

    /// 5.3.1.1, EnterStartup.
    pub(super) fn enter_startup(&mut self) {
        self.state = State::Startup;
    }

    /// 5.3.1.2, ResetFullBW.
    pub(super) fn reset_full_bw(&mut self) {
        self.full_bw = 0;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    /// 5.3.1.2, CheckFullBWReached.
    pub(super) fn check_full_bw_reached(&mut self, rs: &RateSample) {
        if self.full_bw_now || !self.round_start || rs.app_limited {
            return;
        }
        let rate = rs.rate.unwrap_or(0);
        if rate >= scale(self.full_bw, params::FULL_BW_GROWTH) {
            self.reset_full_bw();
            self.full_bw = rate;
            return;
        }
        self.full_bw_count += 1;
        self.full_bw_now = self.full_bw_count >= params::FULL_BW_COUNT;
        self.full_bw_reached |= self.full_bw_now;
    }

    /// 5.3.1.3, CheckStartupHighLoss, at the end of a round in which something was lost.
    pub(super) fn check_startup_high_loss(&mut self, rs: &RateSample) {
        if self.state != State::Startup
            || self.loss_events_in_round < params::STARTUP_FULL_LOSS_COUNT
            || !Self::is_inflight_too_high(rs.lost, rs.tx_in_flight)
        {
            return;
        }
        self.full_bw_reached = true;
        self.inflight_longterm = self.bdp_multiple(self.bw, 1.0).max(self.inflight_latest);
    }

    /// 5.3.1.1, CheckStartupDone.
    pub(super) fn check_startup_done(&mut self) {
        if self.state == State::Startup && self.full_bw_reached {
            self.state = State::Drain;
            self.drain_start_round = self.round_count;
        }
    }

    /// 5.3.2, CheckDrainDone.
    pub(super) fn check_drain_done(&mut self, now: Instant, rs: &RateSample) {
        if self.state == State::Drain
            && (rs.in_flight <= self.inflight(self.bw, 1.0)
                || self.round_count > self.drain_start_round + params::DRAIN_ROUNDS)
        {
            self.start_probe_bw_down(now);
        }
    }
}
