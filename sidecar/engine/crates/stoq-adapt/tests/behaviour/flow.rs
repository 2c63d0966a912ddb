//! One flow of the world.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stoq_adapt::{Adapter, Change, Looks, Pacer, PathHandle};

use crate::side::Side;

/// What the application of a flow does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum App {
    /// Always has data.
    Greedy,
    /// Writes so many bytes every 10 ms.
    Steady(usize),
    /// Sends so many datagrams every 10 ms.
    Datagrams(usize),
    /// Is silent.
    Silent,
}

pub(crate) struct Flow {
    pub(crate) client: Side,
    pub(crate) server: Side,
    pub(crate) app: App,
    pub(crate) pacer: Pacer,
    /// Of the client's controller.
    pub(crate) path: Arc<PathHandle>,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) looks: Looks,
    pub(crate) changes: Vec<(Duration, Change)>,
    /// Bytes received by the end of each tick.
    pub(crate) received: Vec<u64>,
}

impl Flow {
    /// Has its adapter decide and apply, if it is time for that.
    pub(crate) fn look(&mut self, now: Instant, begun: Instant) {
        let Some(adapter) = &mut self.adapter else {
            return;
        };
        if self.looks.is_due(now, self.path.samples())
            && let Some(change) = adapter.observe(&self.path.measurement(), now)
        {
            adapter.apply(&change, &self.path);
            self.changes.push((now - begun, change));
        }
    }
}
