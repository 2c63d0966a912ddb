//! All workers' counters as one reading.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use stoq_adapt::Tier;
use stoq_core::table::Reason;
use stoq_wire::code::{ConnectionCode, StreamCode};

use super::access::{AccessSample, samples};
use super::flows::{FlowSample, Merge};
use super::{
    CounterValues, Counters, Gauges, HistogramSample, HopDrop, UdpDrop, XskDrop, XskFallback,
};

/// Every worker's counters, added up.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) values: CounterValues,
    pub(crate) refused: Vec<(&'static str, u64)>,
    pub(crate) streams_refused: Vec<(&'static str, u64)>,
    pub(crate) connections_closed: Vec<(&'static str, u64)>,
    pub(crate) udp_dropped: Vec<(&'static str, u64)>,
    pub(crate) hop_dropped: Vec<(&'static str, u64)>,
    pub(crate) xsk_fallbacks: Vec<(&'static str, u64)>,
    pub(crate) xsk_dropped: Vec<(&'static str, u64)>,
    pub(crate) gauges: Gauges,
    pub(crate) handshake_seconds: HistogramSample,
    pub(crate) adapt_changes: Vec<(&'static str, u64)>,
    pub(crate) adapt_connections: Vec<(&'static str, u64)>,
    pub(crate) access: Vec<AccessSample>,
    pub(crate) flows: Vec<FlowSample>,
}

impl Sums {
    /// Reads every worker's counters, once each.
    pub(crate) fn of(workers: &[Arc<Counters>]) -> Self {
        let mut sums = Self::default();
        let mut flows = Merge::default();
        let mut access = BTreeMap::new();
        for worker in workers {
            sums.values.add(&worker.values);
            let more = worker.gauges();
            sums.gauges.connections += more.connections;
            sums.gauges.handshakes += more.handshakes;
            sums.gauges.relays += more.relays;
            sums.gauges.udp_flows += more.udp_flows;
            sums.gauges.api_streams += more.api_streams;
            sums.gauges.shard_streams += more.shard_streams;
            sums.gauges.mirrors += more.mirrors;
            sums.gauges.stripe_lanes += more.stripe_lanes;
            sums.gauges.routes += more.routes;
            sums.gauges.buffer_bytes += more.buffer_bytes;
            sums.gauges.af_xdp_queues += more.af_xdp_queues;
            sums.handshake_seconds.add(&worker.handshake_seconds);
            worker.access.add_to(&mut access);
            let published = worker.flows.lock().unwrap_or_else(PoisonError::into_inner);
            flows.add(&published);
        }
        let total = |pick: &dyn Fn(&Counters) -> u64| workers.iter().map(|w| pick(w)).sum();
        sums.refused = named(Reason::ALL.iter().map(|r| r.name()), |index| {
            total(&|worker| worker.refused[index].load(Relaxed))
        });
        sums.streams_refused = named(StreamCode::ALL.iter().map(|c| c.name()), |index| {
            total(&|worker| worker.streams_refused[index].load(Relaxed))
        });
        sums.connections_closed = named(ConnectionCode::ALL.iter().map(|c| c.name()), |index| {
            total(&|worker| worker.connections_closed[index].load(Relaxed))
        });
        sums.udp_dropped = named(UdpDrop::ALL.iter().map(|why| why.name()), |index| {
            total(&|worker| worker.udp_dropped[index].load(Relaxed))
        });
        sums.hop_dropped = named(HopDrop::ALL.iter().map(|why| why.name()), |index| {
            total(&|worker| worker.hop_dropped[index].load(Relaxed))
        });
        sums.xsk_fallbacks = named(XskFallback::ALL.iter().map(|why| why.name()), |index| {
            total(&|worker| worker.xsk_fallbacks[index].load(Relaxed))
        });
        sums.xsk_dropped = named(XskDrop::ALL.iter().map(|why| why.name()), |index| {
            total(&|worker| worker.xsk_dropped[index].load(Relaxed))
        });
        let tiers = || Tier::ALL.into_iter().map(Tier::name);
        sums.adapt_changes = named(tiers(), |index| {
            total(&|worker| worker.adapt_changes[index].load(Relaxed))
        });
        sums.adapt_connections = named(tiers(), |index| {
            total(&|worker| worker.adapt_connections[index].load(Relaxed))
        });
        sums.access = samples(access);
        sums.flows = flows.samples();
        sums
    }
}

fn named(
    names: impl Iterator<Item = &'static str>,
    value: impl Fn(usize) -> u64,
) -> Vec<(&'static str, u64)> {
    names
        .enumerate()
        .map(|(index, name)| (name, value(index)))
        .collect()
}
