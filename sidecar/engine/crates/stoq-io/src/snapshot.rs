//! What an engine tells about itself. The Python package `stoq.engine` mirrors
//! these types; a test compares the two.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use stoq_core::table::Table;

use crate::adaptation::Adaptation;
use crate::counters::{
    AccessSample, CounterValues, Counters, FlowSample, Gauges, HistogramSample, ServiceSample, Sums,
};

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
    /// Captured connections that the routing table refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Streams refused, by stream code.
    pub streams_refused: BTreeMap<&'static str, u64>,
    /// Established connections closed, by connection code.
    pub connections_closed: BTreeMap<&'static str, u64>,
    /// Captured datagrams dropped, by reason.
    pub udp_dropped: BTreeMap<&'static str, u64>,
    /// Packets of tunnels dropped, by reason.
    pub hop_dropped: BTreeMap<&'static str, u64>,
    /// Sends that were left to the socket though an interface is served past the kernel's stack, by reason.
    pub af_xdp_fallbacks: BTreeMap<&'static str, u64>,
    /// Frames that came past the kernel's stack and were dropped, by reason.
    pub af_xdp_dropped: BTreeMap<&'static str, u64>,
    /// What access policies had to say about flows that peers opened here, by policy.
    pub access: Vec<AccessSample>,
    /// Decisions of adaptation, by the tier decided on; also those of dry runs.
    pub adapt_changes: BTreeMap<&'static str, u64>,
    /// Connections by their tier now; those not decided on yet are taken for `standard`.
    pub adapt_connections: BTreeMap<&'static str, u64>,
    /// Services of which an endpoint has failed.
    pub services: Vec<ServiceSample>,
    /// How long handshakes took.
    pub handshake_seconds: HistogramSample,
    /// Flows, by labels.
    pub flows: Vec<FlowSample>,
    /// Access-log lines that were dropped because their queue was full.
    pub access_log_dropped: u64,
}

impl Snapshot {
    /// Reads every worker's counters. `table` is in use, and of its services' endpoints those
    /// in `ejected` get no connections now.
    #[must_use]
    pub fn read(
        workers: &[Arc<Counters>],
        uptime: Duration,
        table: &Table,
        ejected: &[SocketAddr],
        access_log_dropped: u64,
    ) -> Self {
        let sums = Sums::of(workers);
        Self {
            uptime_seconds: uptime.as_secs_f64(),
            workers: workers.len(),
            table_version: table.version(),
            counters: sums.values,
            gauges: sums.gauges,
            refused: sums.refused.into_iter().collect(),
            streams_refused: sums.streams_refused.into_iter().collect(),
            connections_closed: sums.connections_closed.into_iter().collect(),
            udp_dropped: sums.udp_dropped.into_iter().collect(),
            hop_dropped: sums.hop_dropped.into_iter().collect(),
            af_xdp_fallbacks: sums.xsk_fallbacks.into_iter().collect(),
            af_xdp_dropped: sums.xsk_dropped.into_iter().collect(),
            access: sums.access,
            adapt_changes: sums.adapt_changes.into_iter().collect(),
            adapt_connections: sums.adapt_connections.into_iter().collect(),
            services: Counters::services(workers, table, ejected),
            handshake_seconds: sums.handshake_seconds,
            flows: sums.flows,
            access_log_dropped,
        }
    }
}

/// Who began a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Initiator {
    /// This endpoint.
    Dialled,
    /// The peer.
    Accepted,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionState {
    /// Its handshake is not complete.
    Handshake,
    /// In use.
    Established,
    /// Closed, not yet forgotten.
    Closing,
}

/// The signatures that a connection's peer has brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignatureInfo {
    /// Those that verified, each as often as a stream brought it.
    pub verified: u64,
    /// Keys and signatures that were refused.
    pub refused: u64,
    /// Whose the last one was that verified.
    pub signer: Option<String>,
    /// SHA-256 of the key that made it, hexadecimal.
    pub key_id: Option<String>,
}

/// One STOQ connection, with the evidence of its handshake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionInfo {
    /// Index of the worker that owns it.
    pub worker: usize,
    /// Who began it.
    pub initiator: Initiator,
    /// How far it is.
    pub state: ConnectionState,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The peer's SPIFFE id, proven; none for a client of the bootstrap listener.
    pub spiffe_id: Option<String>,
    /// Negotiated key exchange, such as `X25519MLKEM768`.
    pub key_exchange: Option<&'static str>,
    /// The peer's signature, such as `Ed25519+FALCON-1024`.
    pub signature: Option<&'static str>,
    /// This endpoint's signature.
    pub local_signature: Option<&'static str>,
    /// Negotiated cipher, such as `AES-256-GCM`.
    pub cipher: Option<&'static str>,
    /// Crypto profile, such as `hybrid-1024`.
    pub profile: Option<&'static str>,
    /// Bytes at the end of each packet that are STOQ's and not QUIC's.
    pub packet_reserve: usize,
    /// Whether there is a token in each packet.
    pub packet_tokens: bool,
    /// Whether relayed streams have tokens.
    pub stream_tokens: bool,
    /// What it has brought of FALCON signatures; none: they are not in use.
    pub signatures: Option<SignatureInfo>,
    /// Whether the handshake resumed an earlier session.
    pub resumed: bool,
    /// When the peer's certificate ends, in seconds since 1970.
    pub peer_expires: Option<u64>,
    /// How long the handshake took, in seconds.
    pub handshake_seconds: Option<f64>,
    /// Handshake round trips, rounded from its duration and the first RTT sample;
    /// an estimate: only a packet capture counts them.
    pub handshake_round_trips: Option<u32>,
    /// Seconds since it began.
    pub age_seconds: f64,
    /// Flows and API streams open on it.
    pub streams: usize,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received.
    pub bytes_received: u64,
    /// Smoothed round-trip time, in seconds.
    pub rtt_seconds: f64,
    /// Congestion window, in bytes.
    pub congestion_window: u64,
    /// UDP payload bytes per datagram that the path carries.
    pub mtu: u16,
    /// Packets declared lost.
    pub lost_packets: u64,
    /// Times the congestion controller saw congestion.
    pub congestion_events: u64,
    /// Adaptation to its path; none: it is off.
    pub adaptation: Option<Adaptation>,
}
