//! ProbeBW: probing for bandwidth, draining, cruising (5.3.3).

use std::time::{Duration, Instant};

use super::model::scale;
use super::params::{AckPhase, HEADROOM, PROBE_WAIT, RENO_ROUNDS};
use super::{Bbr, State, UNBOUNDED};
use crate::delivery::RateSample;

impl Bbr {
    /// 5.3.3.9, StartProbeBW_DOWN.
    pub(super) fn start_probe_bw_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = UNBOUNDED;
        self.pick_probe_wait();
        self.cycle_stamp = now;
        self.ack_phase = AckPhase::ProbeStopping;
        self.start_round();
        self.state = State::ProbeBwDown;
    }

    /// 5.3.3.9, StartProbeBW_CRUISE.
    pub(super) fn start_probe_bw_cruise(&mut self) {
        self.state = State::ProbeBwCruise;
    }

    /// 5.3.3.9, StartProbeBW_REFILL.
    fn start_probe_bw_refill(&mut self) {
        self.reset_short_term_model();
        self.bw_probe_up_rounds = 0;
        self.bw_probe_up_acked = 0;
        self.prev_probe_precautionary = false;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::ProbeBwRefill;
    }

    /// 5.3.3.9, StartProbeBW_UP.
    fn start_probe_bw_up(&mut self, rs: &RateSample) {
        self.ack_phase = AckPhase::ProbeStarting;
        self.start_round();
        self.reset_full_bw();
        self.full_bw = rs.rate.unwrap_or(0);
        self.state = State::ProbeBwUp;
        self.raise_inflight_longterm_slope();
    }

    /// 5.3.3.9, UpdateProbeBWCyclePhase.
    pub(super) fn update_probe_bw_cycle_phase(&mut self, now: Instant, rs: &RateSample) {
        if !self.full_bw_reached || self.adapt_long_term_model(rs) {
            return;
        }
        match self.state {
            State::ProbeBwDown => {
                if !self.probe_if_due(now) && self.is_time_to_cruise(rs) {
                    self.start_probe_bw_cruise();
                }
            }
            State::ProbeBwCruise => {
                self.probe_if_due(now);
            }
            State::ProbeBwRefill => {
                if self.round_start {
                    self.is_bw_probe_sample = true;
                    self.start_probe_bw_up(rs);
                }
            }
            State::ProbeBwUp => {
                if self.is_time_to_go_down(rs) {
                    self.prev_probe_too_high = false;
                    self.start_probe_bw_down(now);
                }
            }
            State::Startup | State::Drain | State::ProbeRtt => {}
        }
    }

    /// 5.3.3.8, IsTimeToProbeBW.
    fn probe_if_due(&mut self, now: Instant) -> bool {
        let waited = now > self.cycle_stamp + self.bw_probe_wait;
        let due = waited || self.is_reno_coexistence_probe_time();
        if due {
            self.start_probe_bw_refill();
        }
        due
    }

    /// 5.3.3.8, IsRenoCoexistenceProbeTime: a Reno flow would take as many rounds as its window
    /// has packets.
    fn is_reno_coexistence_probe_time(&self) -> bool {
        let reno_rounds = self.target_inflight() / self.mtu;
        self.rounds_since_probe_up >= reno_rounds.min(RENO_ROUNDS)
    }

    /// 5.3.3.8, PickProbeWait.
    fn pick_probe_wait(&mut self) {
        self.rounds_since_probe_up = self.dither.next() & 1;
        self.bw_probe_wait = PROBE_WAIT + Duration::from_secs_f64(self.dither.fraction());
    }

    /// 5.3.3.8, TargetInflight.
    pub(super) fn target_inflight(&self) -> u64 {
        self.bdp_multiple(self.bw, 1.0).min(self.cwnd)
    }

    /// 5.3.3.9, IsTimeToCruise.
    fn is_time_to_cruise(&self, rs: &RateSample) -> bool {
        rs.in_flight <= self.inflight_with_headroom()
            && rs.in_flight <= self.inflight(self.max_bw, 1.0)
    }

    /// 5.3.3.9, IsTimeToGoDown.
    fn is_time_to_go_down(&mut self, rs: &RateSample) -> bool {
        if self.prev_probe_too_high && self.reached(rs) >= self.inflight_longterm {
            self.prev_probe_precautionary = true;
            return true;
        }
        if self.is_cwnd_limited(rs) && self.cwnd >= self.inflight_longterm {
            self.reset_full_bw();
            self.full_bw = rs.rate.unwrap_or(0);
            return false;
        }
        self.full_bw_now
    }

    /// What was in flight before the ACK, and the datagram that did not fit: quinn-proto sends
    /// only what stays below the window, so a bound is never met exactly.
    fn reached(&self, rs: &RateSample) -> u64 {
        rs.in_flight + rs.newly_acked + self.mtu
    }

    /// What was in flight before the ACK filled the window, to the size of one aggregate.
    fn is_cwnd_limited(&self, rs: &RateSample) -> bool {
        self.reached(rs) + self.send_quantum >= self.cwnd
    }

    /// 5.3.3.9, InflightWithHeadroom.
    pub(super) fn inflight_with_headroom(&self) -> u64 {
        if self.inflight_longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = scale(self.inflight_longterm, HEADROOM).max(self.mtu);
        self.inflight_longterm
            .saturating_sub(headroom)
            .max(self.min_pipe_cwnd())
    }

    /// 5.3.3.9, RaiseInflightLongtermSlope: growth doubles each round.
    fn raise_inflight_longterm_slope(&mut self) {
        let growth_this_round = 1_u64 << self.bw_probe_up_rounds;
        self.bw_probe_up_rounds = (self.bw_probe_up_rounds + 1).min(30);
        self.probe_up_acked_per_inc = (self.cwnd / growth_this_round).max(self.mtu);
    }

    /// 5.3.3.9, ProbeInflightLongtermUpward.
    fn probe_inflight_longterm_upward(&mut self, rs: &RateSample) {
        if !self.is_cwnd_limited(rs) || self.cwnd < self.inflight_longterm {
            return;
        }
        self.bw_probe_up_acked += rs.newly_acked;
        let delta = self.bw_probe_up_acked / self.probe_up_acked_per_inc;
        self.bw_probe_up_acked -= delta * self.probe_up_acked_per_inc;
        self.inflight_longterm += delta * self.mtu;
        if self.round_start {
            self.raise_inflight_longterm_slope();
        }
    }

    /// 5.3.3.9, AdaptLongTermModel: whether it has decided on a change of state.
    fn adapt_long_term_model(&mut self, rs: &RateSample) -> bool {
        if self.ack_phase == AckPhase::ProbeStarting && self.round_start {
            self.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.ack_phase == AckPhase::ProbeStopping && self.round_start {
            self.is_bw_probe_sample = false;
            self.ack_phase = AckPhase::Init;
            let limited = rs.app_limited || self.may_be_window_limited();
            if self.state.is_probe_bw() && !limited {
                self.advance_max_bw_filter();
            }
            if self.state.is_probe_bw()
                && self.prev_probe_precautionary
                && !self.prev_probe_too_high
            {
                self.start_probe_bw_refill();
                return true;
            }
        }
        if !Self::is_inflight_too_high(rs.lost, rs.tx_in_flight)
            && self.inflight_longterm != UNBOUNDED
        {
            self.inflight_longterm = self.inflight_longterm.max(rs.tx_in_flight);
            if self.state == State::ProbeBwUp {
                self.probe_inflight_longterm_upward(rs);
            }
        }
        false
    }
}
