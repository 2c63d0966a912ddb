//! The plain counters, each declared once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// Declares the plain counters once: the atomics and their sum over workers.
macro_rules! values {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Atomics of the plain counters.
        #[derive(Debug, Default)]
        pub(super) struct Values { $(pub(super) $name: AtomicU64,)+ }

        /// Plain counters, summed over workers.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        pub struct CounterValues { $($(#[$doc])* pub $name: u64,)+ }

        impl CounterValues {
            pub(super) fn add(&mut self, worker: &Values) {
                $(self.$name = self.$name.wrapping_add(worker.$name.load(Relaxed));)+
            }
        }
    };
}

values! {
    /// UDP datagrams sent.
    udp_datagrams_sent,
    /// Bytes of UDP payload sent.
    udp_bytes_sent,
    /// Calls to the kernel that sent them; datagrams per call is the GSO batch.
    udp_sends,
    /// UDP datagrams received.
    udp_datagrams_received,
    /// Bytes of UDP payload received.
    udp_bytes_received,
    /// Buffers in which the kernel delivered them; datagrams per buffer is the GRO batch.
    udp_receives,
    /// Datagrams of another worker's connection, forwarded to it.
    misrouted_forwarded,
    /// The same, dropped because that worker's queue was full.
    misrouted_dropped,
    /// Connections dialled.
    connections_dialled,
    /// Dials without an answer in time.
    dials_failed,
    /// Handshakes that completed, dialled and accepted.
    handshakes_completed,
    /// Of those, resumed ones (PSK).
    handshakes_resumed,
    /// Handshakes that began and failed, whoever refused.
    handshakes_failed,
    /// Handshakes and live connections that ended because policy requires another crypto profile,
    /// whoever refused.
    crypto_refused,
    /// Handshakes that completed with a peer of another crypto profile than ours.
    crypto_fallbacks,
    /// First datagrams answered with a refusal: too many connections, or draining.
    handshakes_refused,
    /// First datagrams dropped: too many handshakes in flight.
    handshakes_dropped,
    /// Clients asked to prove their address first (RFC 9000, 8.1.2).
    retries_sent,
    /// Renewed identities proven to peers of live connections.
    reauthentications_sent,
    /// Peers' renewed certificates taken on live connections.
    reauthentications_accepted,
    /// The same, refused: the connection was closed.
    reauthentications_refused,
    /// Connections closed because of what was at the end of a packet: a token that is missing or
    /// wrong, or what may not be there.
    packets_refused,
    /// Connections closed because of a token on a stream that does not verify.
    stream_tokens_refused,
    /// API streams opened here.
    api_streams_opened,
    /// API streams opened by peers.
    api_streams_accepted,
    /// Captured connections answered with the probe nonce.
    capture_probes,
    /// Plaintext connections let in as probes from exempt sources.
    plaintext_probes,
    /// Plaintext connections let in because `inbound` is `permissive`.
    plaintext_permitted,
    /// Outbound connections that left the mesh.
    passthrough,
    /// Flows of captured UDP that applications of this pod began, towards the mesh.
    captured_udp_outbound,
    /// Those that peers began.
    captured_udp_inbound,
    /// Those with ends outside the mesh, either way, in plaintext.
    captured_udp_plain,
    /// Captured datagrams sent on.
    captured_udp_sent,
    /// Their payload in bytes.
    captured_udp_sent_bytes,
    /// Bytes of payload that were given to the kernel to leave the pod in plaintext. Counted before
    /// that, so that whoever sees one leave finds it counted; what the kernel refuses is in it too.
    captured_udp_plain_bytes,
    /// Datagrams handed to applications.
    captured_udp_received,
    /// Their payload in bytes.
    captured_udp_received_bytes,
    /// Of those sent, the ones too large for a QUIC datagram: they went by the flow's stream.
    captured_udp_streamed,
    /// Objects that peers have taken whole.
    objects_sent,
    /// Objects that came whole.
    objects_received,
    /// Transfers from peers that took too long.
    objects_expired,
    /// Manifests and shards taken.
    shards_taken,
    /// Those that were there already.
    shards_repeated,
    /// Shards in datagrams that could not be kept.
    shards_dropped,
    /// Objects that we signed.
    signatures_made,
    /// Peers' signatures that verified, each as often as a stream brought it.
    signatures_verified,
    /// Peers' keys and signatures that were refused.
    signatures_refused,
    /// Copies of flows that shadows have taken whole.
    mirrors_sent,
    /// Their bytes, and those of copies that did not become whole.
    mirrors_sent_bytes,
    /// Copies given up because what waited for the shadow did not fit its queue.
    mirrors_dropped,
    /// Copies that were not begun: nobody takes them, a failure was lately, or there are too many.
    mirrors_skipped,
    /// Copies that ended because the shadow, or the way to it, failed.
    mirrors_failed,
    /// Copies from peers that were handed to the application.
    mirrors_received,
    /// Flows that began as ones of several lanes, here or by peers.
    stripe_flows,
    /// Further lanes of flows that were put to work.
    stripe_lanes_joined,
    /// Those that ended before their flow.
    stripe_lanes_lost,
    /// Further lanes of peers that belong to no flow here.
    stripe_lanes_refused,
    /// Routes of peers taken.
    routes_opened,
    /// Those refused.
    routes_refused,
    /// Packets of routes forwarded, in either direction.
    hop_packets,
    /// Their bytes.
    hop_bytes,
    /// Packets that no datagram of the tunnel took: they went by its stream.
    hop_streamed,
    /// Packets sent beside their tunnel, without its encryption around theirs.
    hop_beside,
    /// Times that such packets did not get through any more, and went by the tunnel again.
    hop_given_up,
    /// Frames that came past the kernel's stack.
    af_xdp_frames_received,
    /// Frames that were sent past it.
    af_xdp_frames_sent,
    /// Frames that came past it and hold no datagram for this engine.
    af_xdp_frames_malformed,
    /// Measurements that adaptation has judged.
    adapt_measurements,
    /// Nanoseconds that this took, with carrying out what was decided.
    adapt_nanoseconds,
}
