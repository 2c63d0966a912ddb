//! ProbeRTT, the smallest round trip, and the restart from idle (5.3.4, 5.5.7, 5.4). A ProbeRTT that
//! begins sooner: `doubt`.

use std::time::{Duration, Instant};

use super::params::{AckPhase, MIN_RTT_FILTER, PROBE_RTT_DURATION, PROBE_RTT_INTERVAL};
use super::{Bbr, State};
use crate::delivery::RateSample;

impl Bbr {
    /// 5.3.4.3, UpdateMinRTT.
    pub(super) fn update_min_rtt(&mut self, now: Instant, rs: &RateSample) {
        self.probe_rtt_expired = now > self.probe_rtt_min_stamp + PROBE_RTT_INTERVAL;
        if rs.rtt < self.probe_rtt_min_delay || self.probe_rtt_expired {
            self.probe_rtt_min_delay = rs.rtt;
            self.probe_rtt_min_stamp = now;
        }
        let expired = now > self.min_rtt_stamp + MIN_RTT_FILTER;
        let Some(min_rtt) = self.min_rtt else {
            self.first_rtt(now, rs.rtt);
            return;
        };
        if self.probe_rtt_min_delay < min_rtt || expired {
            self.min_rtt = Some(self.probe_rtt_min_delay);
            self.min_rtt_stamp = self.probe_rtt_min_stamp;
        }
    }

    /// 5.6.2: with the first round trip the pacing rate of the first window is known.
    pub(super) fn first_rtt(&mut self, now: Instant, rtt: Duration) {
        self.min_rtt = Some(rtt);
        self.min_rtt_stamp = now;
        self.probe_rtt_min_delay = self.probe_rtt_min_delay.min(rtt);
        self.init_pacing_rate(rtt);
    }

    /// 5.3.4.3, CheckProbeRTT.
    pub(super) fn check_probe_rtt(&mut self, now: Instant, rs: &RateSample) {
        let doubted = self.doubts_min_rtt(now, rs);
        let due = self.state != State::ProbeRtt && self.probe_rtt_expired;
        if (due || doubted) && !self.idle_restart {
            self.save_cwnd();
            if doubted {
                self.begin_doubt();
            }
            self.state = State::ProbeRtt;
            self.probe_rtt_done_stamp = None;
            self.ack_phase = AckPhase::ProbeStopping;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(now, rs);
        }
        if rs.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// 5.3.4.3, HandleProbeRTT. The samples are marked by whoever samples: see `holds_back`.
    fn handle_probe_rtt(&mut self, now: Instant, rs: &RateSample) {
        if self.resolve_doubt(rs) {
            // Too short for the draft's probe, which stays due when it was.
            self.restore_cwnd();
            self.exit_probe_rtt(now);
            return;
        }
        if self.probe_rtt_done_stamp.is_none() {
            if rs.in_flight <= self.probe_rtt_cwnd() {
                self.probe_rtt_done_stamp = Some(now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.start_round();
            }
            return;
        }
        self.probe_rtt_round_done |= self.round_start;
        if self.probe_rtt_round_done {
            self.check_probe_rtt_done(now);
        }
    }

    /// 5.3.4.3, CheckProbeRTTDone.
    fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done_stamp.is_some_and(|done| now > done) {
            self.probe_rtt_min_stamp = now;
            self.restore_cwnd();
            self.exit_probe_rtt(now);
        }
    }

    /// 5.3.4.4, ExitProbeRTT.
    fn exit_probe_rtt(&mut self, now: Instant) {
        self.reset_short_term_model();
        self.end_doubt(now);
        if self.full_bw_reached {
            self.start_probe_bw_down(now);
            self.start_probe_bw_cruise();
        } else {
            self.enter_startup();
        }
    }

    /// 5.4.1, HandleRestartFromIdle.
    pub(super) fn handle_restart_from_idle(&mut self, now: Instant) {
        self.idle_restart = true;
        self.extra_acked_interval_start = now;
        if self.state.is_probe_bw() {
            self.set_pacing_rate_with_gain(1.0);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }
}
