//! The model upon loss and congestion marks (5.5.10, 3.6).

use super::model::scale;
use super::params::{BETA, LOSS_THRESH};
use super::{Bbr, State, UNBOUNDED};
use crate::delivery::{LossSample, RateSample};
use std::time::Instant;

impl Bbr {
    /// 5.5.10.2, HandleLostPacket, for a batch of losses.
    pub(crate) fn on_loss(&mut self, now: Instant, loss: &LossSample) {
        self.note_congestion(loss);
        if self.is_bw_probe_sample && Self::is_inflight_too_high(loss.lost, loss.tx_in_flight) {
            self.handle_inflight_too_high(now, inflight_at_loss(loss), loss.app_limited);
        }
    }

    /// 3.6: a mark is congestion. It ends a probe as a loss above the threshold does, with what
    /// was in flight, since nothing was lost; otherwise it lowers the bounds once per round.
    pub(crate) fn on_mark(&mut self, now: Instant, mark: &LossSample) {
        self.note_congestion(mark);
        if self.is_bw_probe_sample {
            self.handle_inflight_too_high(now, mark.tx_in_flight, mark.app_limited);
        }
    }

    /// 5.6.4.4, OnEnterRTO: one datagram more than is in flight, until it comes through.
    pub(crate) fn on_persistent_congestion(&mut self, in_flight: u64) {
        self.save_cwnd();
        self.recovery_end = Some(self.delivered);
        self.cwnd = (in_flight + self.mtu).max(self.min_pipe_cwnd());
    }

    /// 5.6.4.4: the first packet sent after the timeout has come through.
    pub(super) fn end_recovery(&mut self, rs: &RateSample) {
        if self
            .recovery_end
            .is_some_and(|end| rs.prior_delivered > end)
        {
            self.recovery_end = None;
            self.restore_cwnd();
        }
    }

    /// 5.5.10.2, NoteLoss.
    fn note_congestion(&mut self, loss: &LossSample) {
        if !self.is_loss_in_round {
            self.loss_round_delivered = loss.total_delivered;
        }
        self.is_loss_in_round = true;
        self.loss_events_in_round += 1;
    }

    /// 5.5.10.2, IsInflightTooHigh.
    pub(super) fn is_inflight_too_high(lost: u64, tx_in_flight: u64) -> bool {
        lost > scale(tx_in_flight, LOSS_THRESH)
    }

    /// 5.5.10.2, HandleInflightTooHigh.
    fn handle_inflight_too_high(&mut self, now: Instant, in_flight: u64, app_limited: bool) {
        self.prev_probe_too_high = true;
        self.is_bw_probe_sample = false;
        if !app_limited {
            self.inflight_longterm = in_flight.max(scale(self.target_inflight(), BETA));
        }
        if self.state == State::ProbeBwUp {
            self.start_probe_bw_down(now);
        }
    }

    /// 5.5.10.3, UpdateLatestDeliverySignals.
    pub(super) fn update_latest_delivery_signals(&mut self, rs: &RateSample) {
        self.bw_latest = self.bw_latest.max(rs.rate.unwrap_or(0));
        self.inflight_latest = self.inflight_latest.max(rs.delivered);
        self.loss_round_start = rs.prior_delivered >= self.loss_round_delivered;
        if self.loss_round_start {
            self.loss_round_delivered = rs.total_delivered;
        }
    }

    /// 5.5.10.3, UpdateCongestionSignals.
    pub(super) fn update_congestion_signals(&mut self, rs: &RateSample) {
        self.update_max_bw(rs);
        if !self.loss_round_start {
            return;
        }
        if self.is_loss_in_round {
            self.check_startup_high_loss(rs);
            if !self.state.is_probing() {
                self.lower_bounds();
            }
        }
        self.is_loss_in_round = false;
        self.loss_events_in_round = 0;
    }

    /// 5.5.10.3, InitLowerBounds and LossLowerBounds.
    fn lower_bounds(&mut self) {
        if self.bw_shortterm == UNBOUNDED {
            self.bw_shortterm = self.max_bw;
        }
        if self.inflight_shortterm == UNBOUNDED {
            self.inflight_shortterm = self.cwnd;
        }
        self.bw_shortterm = self.bw_latest.max(scale(self.bw_shortterm, BETA));
        self.inflight_shortterm = self
            .inflight_latest
            .max(scale(self.inflight_shortterm, BETA));
    }

    /// 5.5.10.3, AdvanceLatestDeliverySignals.
    pub(super) fn advance_latest_delivery_signals(&mut self, rs: &RateSample) {
        if self.loss_round_start {
            self.bw_latest = rs.rate.unwrap_or(0);
            self.inflight_latest = rs.delivered;
        }
    }

    /// 5.5.10.3, ResetCongestionSignals.
    pub(super) fn reset_congestion_signals(&mut self) {
        self.is_loss_in_round = false;
        self.loss_events_in_round = 0;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }
}

/// 5.5.10.2, InflightAtLoss: the volume in flight at which losses crossed the threshold, somewhere
/// within the batch.
fn inflight_at_loss(loss: &LossSample) -> u64 {
    let before = loss.tx_in_flight.saturating_sub(loss.size) as f64;
    let lost_before = loss.lost.saturating_sub(loss.size) as f64;
    let prefix = (LOSS_THRESH * before - lost_before) / (1.0 - LOSS_THRESH);
    (before + prefix).max(0.0) as u64
}
