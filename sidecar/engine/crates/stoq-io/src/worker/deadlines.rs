//! When phases of flows must be over, and what happens then.

use std::time::Instant;

use stoq_wire::code::StreamCode;

use super::observe::Outcome;
use super::{Flow, Timer, Worker};

impl Worker {
    /// The opening phase of a flow must be over at `at`.
    pub(super) fn set_deadline(&mut self, key: usize, at: Instant) {
        self.cancel_deadline(key);
        if let Some(slot) = self.flows.get_mut(key) {
            slot.deadline = Some(at);
            self.timers.set(
                at,
                Timer::Flow {
                    key,
                    serial: slot.serial,
                },
            );
        }
    }

    pub(super) fn cancel_deadline(&mut self, key: usize) {
        if let Some(slot) = self.flows.get_mut(key)
            && let Some(at) = slot.deadline.take()
        {
            self.timers.cancel(
                at,
                Timer::Flow {
                    key,
                    serial: slot.serial,
                },
            );
        }
    }

    pub(super) fn flow_due(&mut self, key: usize, serial: u64, now: Instant) {
        let slot = self.flows.get(key).filter(|slot| slot.serial == serial);
        let Some(slot) = slot else { return };
        if matches!(slot.flow, Flow::Udp(_)) {
            self.udp_due(key, now);
        } else if matches!(slot.flow, Flow::Hop(_)) {
            self.hop_due(key, now);
        } else if matches!(slot.flow, Flow::Mirror(_)) {
            self.mirror_due(key, now);
        } else if matches!(slot.flow, Flow::Frames(_)) {
            self.end_flow(key, StreamCode::Incomplete, Outcome::TimedOut, now);
        } else if slot.flow.is_relayed() {
            // Its peer has had time enough to say that it does not take it.
            self.settle(key);
        } else if !self.tried_elsewhere(key, &Outcome::TimedOut, now) {
            self.end_flow(key, StreamCode::TimedOut, Outcome::TimedOut, now);
        }
    }
}
