//! What the model sets: pacing rate, send quantum and window (5.6.2 to 5.6.4).

use std::time::Duration;

use super::model::{scale, volume};
use super::params::{LEAST_QUANTUM_PACKETS, MIN_PIPE_PACKETS, MOST_QUANTUM, PACING_MARGIN};
use super::{Bbr, State, UNBOUNDED};
use crate::delivery::RateSample;

impl Bbr {
    /// 5.6.2, InitPacingRate: the first window within a round trip, times Startup's gain.
    pub(super) fn init_pacing_rate(&mut self, rtt: Duration) {
        let seconds = rtt.as_secs_f64().max(1e-6);
        let nominal = (self.initial_cwnd as f64 / seconds) as u64;
        self.pacing_rate = scale(nominal, State::Startup.pacing_gain());
    }

    /// 5.6.2, SetPacingRate.
    pub(super) fn set_pacing_rate(&mut self) {
        self.set_pacing_rate_with_gain(self.state.pacing_gain());
    }

    /// 5.6.2, SetPacingRateWithGain: until the pipe was full the rate only grows.
    pub(super) fn set_pacing_rate_with_gain(&mut self, gain: f64) {
        let rate = scale(self.bw, gain * (1.0 - PACING_MARGIN));
        if self.full_bw_reached || rate > self.pacing_rate {
            // A rate of nothing would never be corrected: one datagram a second would.
            self.pacing_rate = rate.max(self.mtu);
        }
    }

    /// 5.6.3, SetSendQuantum.
    pub(super) fn set_send_quantum(&mut self) {
        self.send_quantum = volume(self.pacing_rate, Duration::from_millis(1))
            .min(MOST_QUANTUM)
            .max(LEAST_QUANTUM_PACKETS * self.mtu);
    }

    /// 5.6.4.3: bytes that are always allowed in flight.
    pub(super) fn min_pipe_cwnd(&self) -> u64 {
        MIN_PIPE_PACKETS * self.mtu
    }

    /// 5.6.4.2, QuantizationBudget; 5.5.8.2: QUIC's offload budget is the send quantum.
    fn quantization_budget(&self, inflight: u64) -> u64 {
        let cap = inflight.max(self.send_quantum).max(self.min_pipe_cwnd());
        match self.state {
            State::ProbeBwUp => cap + 2 * self.mtu,
            _ => cap,
        }
    }

    /// 5.6.4.2, Inflight.
    pub(super) fn inflight(&self, bandwidth: u64, gain: f64) -> u64 {
        self.quantization_budget(self.bdp_multiple(bandwidth, gain))
    }

    /// 5.6.4.2, UpdateMaxInflight.
    fn max_inflight(&self) -> u64 {
        let cap = self.bdp_multiple(self.bw, self.state.cwnd_gain());
        self.quantization_budget(cap + self.extra_acked.get())
    }

    /// 5.6.4.4, SaveCwnd.
    pub(super) fn save_cwnd(&mut self) {
        let modulated = self.recovery_end.is_some() || self.state == State::ProbeRtt;
        self.prior_cwnd = if modulated {
            self.prior_cwnd.max(self.cwnd)
        } else {
            self.cwnd
        };
    }

    /// 5.6.4.4, RestoreCwnd.
    pub(super) fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// 5.6.4.5, ProbeRTTCwnd.
    pub(super) fn probe_rtt_cwnd(&self) -> u64 {
        self.bdp_multiple(self.bw, State::ProbeRtt.cwnd_gain())
            .min(self.doubt_cwnd())
            .max(self.min_pipe_cwnd())
    }

    /// 5.6.4.6, SetCwnd.
    pub(super) fn set_cwnd(&mut self, rs: &RateSample) {
        let most = self.max_inflight();
        if self.full_bw_reached {
            self.cwnd = (self.cwnd + rs.newly_acked).min(most);
        } else if self.cwnd < most || rs.total_delivered < self.initial_cwnd {
            self.cwnd += rs.newly_acked;
        }
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
    }

    /// 5.6.4.7, BoundCwndForModel.
    fn bound_cwnd_for_model(&mut self) {
        let longterm = match self.state {
            State::ProbeBwCruise | State::ProbeRtt => self.inflight_with_headroom(),
            State::ProbeBwDown | State::ProbeBwRefill | State::ProbeBwUp => self.inflight_longterm,
            State::Startup | State::Drain => UNBOUNDED,
        };
        let cap = longterm.min(self.inflight_shortterm);
        self.cwnd = self.cwnd.min(cap.max(self.min_pipe_cwnd()));
    }
}
