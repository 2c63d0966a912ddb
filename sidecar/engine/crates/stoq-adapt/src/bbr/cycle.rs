//! The order of the steps (5.2).

use std::time::Instant;

use super::{Bbr, State};
use crate::delivery::RateSample;

impl Bbr {
    /// 5.2.2, OnTransmit: `in_flight` and `app_limited` as they are before the data is sent.
    pub(crate) fn on_transmit(&mut self, now: Instant, in_flight: u64, app_limited: bool) {
        if in_flight == 0 && app_limited {
            self.handle_restart_from_idle(now);
        }
    }

    /// 5.2.3, UpdateOnACK.
    pub(crate) fn on_ack(&mut self, now: Instant, rs: &RateSample) {
        self.delivered = rs.total_delivered;
        self.end_recovery(rs);
        self.update_latest_delivery_signals(rs);
        self.update_congestion_signals(rs);
        self.update_ack_aggregation(now, rs);
        self.check_full_bw_reached(rs);
        self.check_startup_done();
        self.check_drain_done(now, rs);
        self.update_probe_bw_cycle_phase(now, rs);
        self.update_min_rtt(now, rs);
        self.check_probe_rtt(now, rs);
        self.advance_latest_delivery_signals(rs);
        self.bound_bw_for_model();
        self.set_pacing_rate();
        self.set_send_quantum();
        self.set_cwnd(rs);
    }

    /// Whether the flow sends less than it could to measure the round trip: 5.3.4.3 has such
    /// samples marked as application-limited.
    pub(crate) fn holds_back(&self) -> bool {
        self.state == State::ProbeRtt
    }
}
