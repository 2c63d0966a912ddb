//! One flow of the world.

use std::sync::Arc;
use std::time::Duration;

use stoq_adapt::{Adapter, Change, Pacer, PathHandle};

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
    pub(crate) changes: Vec<(Duration, Change)>,
    /// Bytes received by the end of each tick.
    pub(crate) received: Vec<u64>,
}
