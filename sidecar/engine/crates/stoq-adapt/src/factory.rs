//! Making controllers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use quinn_proto::congestion::{Controller, ControllerFactory};

use crate::bbr::Start;
use crate::congestion::Congestion;
use crate::controller::AdaptiveController;

/// Makes the controllers of all connections of an endpoint.
#[derive(Debug)]
pub struct AdaptiveConfig {
    /// Bytes in flight before the first ACK.
    pub initial_window: u64,
    /// The controller at the start.
    pub congestion: Congestion,
    /// Staggers the probes of connections; each takes the next.
    seed: AtomicU64,
}

impl AdaptiveConfig {
    /// A factory. `seed`: any number; the same one repeats a run.
    pub fn new(congestion: Congestion, initial_window: u64, seed: u64) -> Self {
        Self {
            initial_window,
            congestion,
            seed: AtomicU64::new(seed),
        }
    }
}

impl ControllerFactory for AdaptiveConfig {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let start = Start {
            now,
            mtu: u64::from(mtu),
            window: self.initial_window,
            min_rtt: None,
            seed,
        };
        Box::new(AdaptiveController::new(self.congestion, start))
    }
}
