//! What the workers count.
//!
//! One [`Counters`] per worker, on cache lines of its own. Only its worker
//! writes, by a plain load and store; anybody may read at any time. There is no
//! lock and no locked instruction on the data path, and reading never delays it.
//! Values only grow; gauges are set.

mod access;
mod flows;
mod histogram;
mod hops;
mod labels;
mod mirrors;
mod objects;
mod services;
mod stripes;
mod sums;
mod udp;
mod values;
mod xsk;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use stoq_adapt::Tier;
use stoq_core::table::{Admission, Reason, Ruling, Table};
use stoq_wire::code::{ConnectionCode, StreamCode};

pub use access::AccessSample;
pub use flows::{FlowCounters, FlowSample, FlowTable, MAX_FLOW_LABELS};
pub use histogram::{BOUNDS, Histogram, HistogramSample};
pub use hops::HopDrop;
pub use labels::{FlowLabels, Party, Reporter, ResponseFlag, SecurityPolicy, Suite};
pub use services::ServiceSample;
pub(crate) use sums::Sums;
pub use udp::UdpDrop;
pub use values::CounterValues;
pub use xsk::{XskDrop, XskFallback};

/// Adds to a value that only this thread writes.
fn add(value: &AtomicU64, more: u64) {
    value.store(value.load(Relaxed).wrapping_add(more), Relaxed);
}

/// How many numbers [`Gauges`] has.
const GAUGES: usize = 11;

/// What an endpoint holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Gauges {
    /// Established STOQ connections.
    pub connections: u64,
    /// Handshakes in flight.
    pub handshakes: u64,
    /// Relayed application connections.
    pub relays: u64,
    /// Flows of captured UDP.
    pub udp_flows: u64,
    /// API streams.
    pub api_streams: u64,
    /// Streams that carry shards.
    pub shard_streams: u64,
    /// Copies of flows on their way to shadows.
    pub mirrors: u64,
    /// Further lanes of flows.
    pub stripe_lanes: u64,
    /// Streams of routes that are forwarded for others.
    pub routes: u64,
    /// Bytes of pooled receive buffers.
    pub buffer_bytes: u64,
    /// Queues of an interface that are served past the kernel's stack.
    pub af_xdp_queues: u64,
}

/// One worker's counters. Writing belongs to that worker's thread alone.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    values: values::Values,
    refused: [AtomicU64; Reason::ALL.len()],
    streams_refused: [AtomicU64; StreamCode::ALL.len()],
    connections_closed: [AtomicU64; ConnectionCode::ALL.len()],
    udp_dropped: [AtomicU64; UdpDrop::ALL.len()],
    hop_dropped: [AtomicU64; HopDrop::ALL.len()],
    xsk_fallbacks: [AtomicU64; XskFallback::ALL.len()],
    xsk_dropped: [AtomicU64; XskDrop::ALL.len()],
    adapt_changes: [AtomicU64; Tier::ALL.len()],
    adapt_connections: [AtomicU64; Tier::ALL.len()],
    gauges: [AtomicU64; GAUGES],
    handshake_seconds: Histogram,
    access: access::AccessCounts,
    services: services::ServiceCounts,
    /// Grows when a set of labels is seen for the first time.
    flows: Mutex<Vec<(Arc<FlowLabels>, Arc<FlowCounters>)>>,
}

impl Default for Counters {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            values: values::Values::default(),
            refused: std::array::from_fn(|_| AtomicU64::new(0)),
            streams_refused: std::array::from_fn(|_| AtomicU64::new(0)),
            connections_closed: std::array::from_fn(|_| AtomicU64::new(0)),
            udp_dropped: std::array::from_fn(|_| AtomicU64::new(0)),
            hop_dropped: std::array::from_fn(|_| AtomicU64::new(0)),
            xsk_fallbacks: std::array::from_fn(|_| AtomicU64::new(0)),
            xsk_dropped: std::array::from_fn(|_| AtomicU64::new(0)),
            adapt_changes: std::array::from_fn(|_| AtomicU64::new(0)),
            adapt_connections: std::array::from_fn(|_| AtomicU64::new(0)),
            gauges: zeros(),
            handshake_seconds: Histogram::default(),
            access: access::AccessCounts::default(),
            services: services::ServiceCounts::default(),
            flows: Mutex::default(),
        }
    }
}

impl Counters {
    /// Sent `datagrams` with `bytes` of payload in `sends` calls.
    pub fn sent(&self, sends: u64, datagrams: u64, bytes: u64) {
        add(&self.values.udp_sends, sends);
        add(&self.values.udp_datagrams_sent, datagrams);
        add(&self.values.udp_bytes_sent, bytes);
    }

    /// Received one buffer of `datagrams` with `bytes` of payload.
    pub fn received(&self, datagrams: u64, bytes: u64) {
        add(&self.values.udp_receives, 1);
        add(&self.values.udp_datagrams_received, datagrams);
        add(&self.values.udp_bytes_received, bytes);
    }

    /// A datagram of another worker's connection: `taken` if it went there.
    pub fn misrouted(&self, taken: bool) {
        add(
            if taken {
                &self.values.misrouted_forwarded
            } else {
                &self.values.misrouted_dropped
            },
            1,
        );
    }

    /// A connection was dialled.
    pub fn dialled(&self) {
        add(&self.values.connections_dialled, 1);
    }

    /// A dial was not answered in time.
    pub fn dial_failed(&self) {
        add(&self.values.dials_failed, 1);
    }

    /// A handshake completed after `took`.
    pub fn established(&self, took: Duration, resumed: bool) {
        add(&self.values.handshakes_completed, 1);
        add(&self.values.handshakes_resumed, resumed.into());
        self.handshake_seconds.record(took);
    }

    /// A handshake failed.
    pub fn handshake_failed(&self) {
        add(&self.values.handshakes_failed, 1);
    }

    /// A handshake or a connection ended because of a side's crypto profile.
    pub fn crypto_refused(&self) {
        add(&self.values.crypto_refused, 1);
    }

    /// A handshake completed with a peer of another crypto profile than ours.
    pub fn crypto_fell_back(&self) {
        add(&self.values.crypto_fallbacks, 1);
    }

    /// A first datagram was answered with a refusal.
    pub fn handshake_refused(&self) {
        add(&self.values.handshakes_refused, 1);
    }

    /// A first datagram was dropped.
    pub fn handshake_dropped(&self) {
        add(&self.values.handshakes_dropped, 1);
    }

    /// A client was asked to prove its address.
    pub fn retry_sent(&self) {
        add(&self.values.retries_sent, 1);
    }

    /// An established connection was closed with `code`, by either side.
    pub fn connection_closed(&self, code: ConnectionCode) {
        add(
            &self.connections_closed[position(ConnectionCode::ALL, &code)],
            1,
        );
    }

    /// A stream was refused to a peer, or by it, with `code`.
    pub fn stream_refused(&self, code: StreamCode) {
        add(&self.streams_refused[position(StreamCode::ALL, &code)], 1);
    }

    /// The routing table refused a captured connection.
    pub fn refused(&self, reason: Reason) {
        add(&self.refused[position(&Reason::ALL, &reason)], 1);
    }

    /// Access policies had a say about a flow.
    pub fn ruled(&self, ruling: &Ruling) {
        self.access.count(ruling);
    }

    /// A connection to a service, by name and namespace, is tried at another endpoint.
    pub fn failed_over(&self, service: &(Arc<str>, Arc<str>)) {
        self.services.failed_over(service);
    }

    /// An endpoint was ejected because of a connection to a service.
    pub fn ejected(&self, service: &(Arc<str>, Arc<str>)) {
        self.services.ejected(service);
    }

    /// Our renewed identity was sent to a peer.
    pub fn reauthentication_sent(&self) {
        add(&self.values.reauthentications_sent, 1);
    }

    /// A peer's renewed certificate was taken.
    pub fn reauthentication_accepted(&self) {
        add(&self.values.reauthentications_accepted, 1);
    }

    /// A peer's renewed certificate, or what should have been one, was refused.
    pub fn reauthentication_refused(&self) {
        add(&self.values.reauthentications_refused, 1);
    }

    /// A connection was closed because of what was at the end of a packet.
    pub fn packet_refused(&self) {
        add(&self.values.packets_refused, 1);
    }

    /// A connection was closed because of a token on a stream.
    pub fn stream_token_refused(&self) {
        add(&self.values.stream_tokens_refused, 1);
    }

    /// An API stream was opened here.
    pub fn api_opened(&self) {
        add(&self.values.api_streams_opened, 1);
    }

    /// A peer opened an API stream.
    pub fn api_accepted(&self) {
        add(&self.values.api_streams_accepted, 1);
    }

    /// The capture probe was answered.
    pub fn capture_probed(&self) {
        add(&self.values.capture_probes, 1);
    }

    /// Plaintext was let in.
    pub fn plaintext_admitted(&self, admission: Admission) {
        add(
            match admission {
                Admission::Probe => &self.values.plaintext_probes,
                Admission::Permissive => &self.values.plaintext_permitted,
            },
            1,
        );
    }

    /// An outbound connection left the mesh.
    pub fn passed_through(&self) {
        add(&self.values.passthrough, 1);
    }

    /// Adaptation has judged a measurement, and carried out what it decided.
    pub fn path_judged(&self, took: Duration) {
        add(&self.values.adapt_measurements, 1);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.values.adapt_nanoseconds, nanoseconds);
    }

    /// Adaptation has decided on `tier`.
    pub fn tier_decided(&self, tier: Tier) {
        add(&self.adapt_changes[tier as usize], 1);
    }

    /// A connection is in `tier` from now on.
    pub fn tier_entered(&self, tier: Tier) {
        add(&self.adapt_connections[tier as usize], 1);
    }

    /// A connection is no longer in `tier`.
    pub fn tier_left(&self, tier: Tier) {
        add(&self.adapt_connections[tier as usize], 1_u64.wrapping_neg());
    }

    /// What this worker holds now.
    pub fn set_gauges(&self, gauges: Gauges) {
        let Gauges {
            connections,
            handshakes,
            relays,
            udp_flows,
            api_streams,
            shard_streams,
            mirrors,
            stripe_lanes,
            routes,
            buffer_bytes,
            af_xdp_queues,
        } = gauges;
        let values: [u64; GAUGES] = [
            connections,
            handshakes,
            relays,
            udp_flows,
            api_streams,
            shard_streams,
            mirrors,
            stripe_lanes,
            routes,
            buffer_bytes,
            af_xdp_queues,
        ];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.store(value, Relaxed);
        }
    }

    /// How endpoints of services have failed, summed over `workers`; those in `ejected` are
    /// shown with the services of `table` that have them.
    pub(crate) fn services(
        workers: &[Arc<Self>],
        table: &Table,
        ejected: &[SocketAddr],
    ) -> Vec<ServiceSample> {
        let counts = workers.iter().map(|worker| &worker.services);
        services::samples(counts, table, ejected)
    }

    fn gauges(&self) -> Gauges {
        let [
            connections,
            handshakes,
            relays,
            udp_flows,
            api_streams,
            shard_streams,
            mirrors,
            stripe_lanes,
            routes,
            buffer_bytes,
            af_xdp_queues,
        ]: [u64; GAUGES] = std::array::from_fn(|index| self.gauges[index].load(Relaxed));
        Gauges {
            connections,
            handshakes,
            relays,
            udp_flows,
            api_streams,
            shard_streams,
            mirrors,
            stripe_lanes,
            routes,
            buffer_bytes,
            af_xdp_queues,
        }
    }

    /// Makes counters of a new set of labels readable.
    fn publish(&self, labels: Arc<FlowLabels>, counters: Arc<FlowCounters>) {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows.push((labels, counters));
    }
}

/// Where `item` stands in `all`; the last place if it were missing.
fn position<T: PartialEq>(all: &[T], item: &T) -> usize {
    all.iter()
        .position(|one| one == item)
        .unwrap_or(all.len() - 1)
}

#[cfg(test)]
mod tests;
