//! What an engine tells about itself. The Python package `stoq.engine` mirrors
//! these types; a test compares the two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::counters::{CounterValues, Counters, FlowSample, Gauges, HistogramSample, Sums};

/// Every counter and gauge of an engine, read once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Seconds since the engine started.
    pub uptime_seconds: f64,
    /// Worker threads.
    pub workers: usize,
    /// Version of the routing table in use; 0 before the first.
    pub table_version: u64,
    /// Plain counters.
    pub counters: CounterValues,
    /// What is held now.
    pub gauges: Gauges,
    /// Flows refused, by reason: a table's, a stream code's or a limit's name.
    pub refused: BTreeMap<&'static str, u64>,
    /// Established connections closed, by connection code.
    pub connections_closed: BTreeMap<&'static str, u64>,
    /// How long handshakes took.
    pub handshake_seconds: HistogramSample,
    /// Flows, by labels.
    pub flows: Vec<FlowSample>,
    /// Access-log lines that were dropped because their queue was full.
    pub access_log_dropped: u64,
}

impl Snapshot {
    /// Reads every worker's counters.
    #[must_use]
    pub fn read(
        workers: &[Arc<Counters>],
        uptime: Duration,
        table_version: u64,
        access_log_dropped: u64,
    ) -> Self {
        let sums = Sums::of(workers);
        Self {
            uptime_seconds: uptime.as_secs_f64(),
            workers: workers.len(),
            table_version,
            counters: sums.values,
            gauges: sums.gauges,
            refused: sums.refused.into_iter().collect(),
            connections_closed: sums.connections_closed.into_iter().collect(),
            handshake_seconds: sums.handshake_seconds,
            flows: sums.flows,
            access_log_dropped,
        }
    }
}
