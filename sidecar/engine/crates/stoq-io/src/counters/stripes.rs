//! What is counted of flows over several connections.

use super::{Counters, add};

impl Counters {
    /// A flow began that may have further lanes.
    pub fn stripe_begun(&self) {
        add(&self.values.stripe_flows, 1);
    }

    /// A further lane of a flow is at work.
    pub fn stripe_lane_joined(&self) {
        add(&self.values.stripe_lanes_joined, 1);
    }

    /// A further lane ended before its flow.
    pub fn stripe_lane_lost(&self) {
        add(&self.values.stripe_lanes_lost, 1);
    }

    /// A further lane of a peer belongs to no flow here.
    pub fn stripe_lane_refused(&self) {
        add(&self.values.stripe_lanes_refused, 1);
    }
}
