"""What the engine counts, and what it is called in metrics."""

from typing import Final

COUNTERS: Final = {
    "udp_datagrams_sent": ("stoq_udp_sent_datagrams", "UDP datagrams sent"),
    "udp_bytes_sent": ("stoq_udp_sent_bytes", "UDP payload sent"),
    "udp_sends": ("stoq_udp_sends", "Kernel calls that sent datagrams"),
    "udp_datagrams_received": ("stoq_udp_received_datagrams", "UDP datagrams received"),
    "udp_bytes_received": ("stoq_udp_received_bytes", "UDP payload received"),
    "udp_receives": ("stoq_udp_receives", "Buffers in which the kernel delivered datagrams"),
    "misrouted_forwarded": (
        "stoq_misrouted_forwarded_datagrams",
        "Datagrams handed to the worker that owns their connection",
    ),
    "misrouted_dropped": (
        "stoq_misrouted_dropped_datagrams",
        "The same, dropped because that worker was busy",
    ),
    "connections_dialled": ("stoq_connections_dialled", "STOQ connections dialled"),
    "dials_failed": ("stoq_dials_failed", "Dials without an answer in time"),
    "handshakes_completed": ("stoq_handshakes_completed", "Handshakes completed"),
    "handshakes_resumed": ("stoq_handshakes_resumed", "Of these, resumed from a ticket"),
    "handshakes_failed": ("stoq_handshakes_failed", "Handshakes that began and failed"),
    "crypto_refused": (
        "stoq_crypto_profile_refused",
        "Handshakes and connections that ended because policy requires another crypto profile",
    ),
    "crypto_fallbacks": (
        "stoq_crypto_profile_fallbacks",
        "Handshakes completed with a peer of another crypto profile than this workload's",
    ),
    "handshakes_refused": ("stoq_handshakes_refused", "Initials refused: full or draining"),
    "handshakes_dropped": ("stoq_handshakes_dropped", "Initials dropped: too many handshakes"),
    "retries_sent": ("stoq_retries_sent", "Clients asked to prove their address"),
    "reauthentications_sent": (
        "stoq_reauthentications_sent",
        "Renewed identities proven to peers of live connections",
    ),
    "reauthentications_accepted": (
        "stoq_reauthentications_accepted",
        "Renewed certificates of peers taken on live connections",
    ),
    "reauthentications_refused": (
        "stoq_reauthentications_refused",
        "The same, refused: the connection was closed",
    ),
    "packets_refused": (
        "stoq_packets_refused",
        "Connections closed for a token or frame in a packet that is wrong or missing",
    ),
    "stream_tokens_refused": (
        "stoq_stream_tokens_refused",
        "Connections closed for a token on a stream that does not verify",
    ),
    "api_streams_opened": ("stoq_api_streams_opened", "API streams opened here"),
    "api_streams_accepted": ("stoq_api_streams_accepted", "API streams opened by peers"),
    "capture_probes": ("stoq_capture_probes", "Capture probes answered"),
    "plaintext_probes": ("stoq_plaintext_probes", "Plaintext let in from probes"),
    "plaintext_permitted": (
        "stoq_plaintext_permitted",
        "Plaintext connections let in because inbound is permissive",
    ),
    "passthrough": ("stoq_passthrough", "Outbound connections that left the mesh"),
    "captured_udp_outbound": (
        "stoq_captured_udp_outbound_flows",
        "UDP flows that applications of this pod began towards the mesh",
    ),
    "captured_udp_inbound": ("stoq_captured_udp_inbound_flows", "UDP flows that peers began"),
    "captured_udp_plain": (
        "stoq_captured_udp_plaintext_flows",
        "UDP flows with ends outside the mesh, either way",
    ),
    "captured_udp_sent": ("stoq_captured_udp_sent_datagrams", "Applications' datagrams sent on"),
    "captured_udp_sent_bytes": ("stoq_captured_udp_sent_bytes", "Payload of those"),
    "captured_udp_plain_bytes": (
        "stoq_captured_udp_plaintext_bytes",
        "Payload of those that left the pod in plaintext",
    ),
    "captured_udp_received": (
        "stoq_captured_udp_received_datagrams",
        "Datagrams handed to applications",
    ),
    "captured_udp_received_bytes": ("stoq_captured_udp_received_bytes", "Payload of those"),
    "captured_udp_streamed": (
        "stoq_captured_udp_streamed_datagrams",
        "Datagrams sent on that were too large for a QUIC datagram",
    ),
    "objects_sent": ("stoq_objects_sent", "Objects that peers have taken whole"),
    "objects_received": ("stoq_objects_received", "Objects that came whole"),
    "objects_expired": ("stoq_objects_expired", "Transfers from peers that took too long"),
    "shards_taken": ("stoq_shards_taken", "Manifests and shards taken from peers"),
    "shards_repeated": ("stoq_shards_repeated", "Manifests and shards that were there already"),
    "shards_dropped": ("stoq_shards_dropped", "Shards in datagrams that could not be kept"),
    "signatures_made": ("stoq_signatures_made", "Objects signed with this workload's FALCON key"),
    "signatures_verified": (
        "stoq_signatures_verified",
        "Signatures of peers over objects that verified, each as often as a stream brings it",
    ),
    "signatures_refused": (
        "stoq_signatures_refused",
        "Keys and FALCON signatures of peers that were refused",
    ),
    "mirrors_sent": ("stoq_mirrors_sent", "Copies of connections that shadows have taken whole"),
    "mirrors_sent_bytes": ("stoq_mirrors_sent_bytes", "Bytes of copies, also of unfinished ones"),
    "mirrors_dropped": (
        "stoq_mirrors_dropped",
        "Copies given up: the shadow is slower than the original, and its queue was full",
    ),
    "mirrors_skipped": (
        "stoq_mirrors_skipped",
        "Copies not begun: no shadow takes them, it failed lately, or there are too many",
    ),
    "mirrors_failed": ("stoq_mirrors_failed", "Copies that ended because their shadow failed"),
    "mirrors_received": ("stoq_mirrors_received", "Copies handed to the application of this pod"),
    "stripe_flows": (
        "stoq_stripe_flows",
        "Connections that began as ones of several STOQ connections, of either end",
    ),
    "stripe_lanes_joined": (
        "stoq_stripe_lanes_joined",
        "Further STOQ connections that such a connection was given",
    ),
    "stripe_lanes_lost": (
        "stoq_stripe_lanes_lost",
        "Of those, the ones that ended before it; what they had went again on others",
    ),
    "stripe_lanes_refused": (
        "stoq_stripe_lanes_refused",
        "Lanes of peers refused: of no connection here, or of somebody else's",
    ),
    "routes_opened": ("stoq_routes_opened", "Routes of peers taken, as a gateway"),
    "routes_refused": ("stoq_routes_refused", "Routes of peers refused"),
    "hop_packets": ("stoq_hop_packets", "Packets of routes forwarded, either way"),
    "hop_bytes": ("stoq_hop_bytes", "Bytes of those"),
    "hop_streamed": (
        "stoq_hop_streamed_packets",
        "Packets of tunnels that were too large for a QUIC datagram",
    ),
    "hop_beside": (
        "stoq_hop_forwarded_packets",
        "Packets sent beside their tunnel, without its encryption around theirs",
    ),
    "hop_given_up": (
        "stoq_hop_forwarded_given_up",
        "Times that packets did not get through beside their tunnel any more",
    ),
    "af_xdp_frames_received": (
        "stoq_af_xdp_received_frames",
        "Frames received past the kernel's stack",
    ),
    "af_xdp_frames_sent": ("stoq_af_xdp_sent_frames", "Frames sent past the kernel's stack"),
    "af_xdp_frames_malformed": (
        "stoq_af_xdp_malformed_frames",
        "Of those received, the ones without a datagram for this sidecar",
    ),
    "adapt_measurements": (
        "stoq_adapt_measurements",
        "Measurements of paths that adaptation has judged",
    ),
}
"""Engine counter to metric name (without `_total`) and help."""

NANOSECONDS: Final = {
    "adapt_nanoseconds": (
        "stoq_adapt_seconds",
        "Time in which adaptation judged paths and carried out what it decided",
    ),
}
"""The same for counters of time, which are shown in seconds."""

GAUGES: Final = {
    "connections": ("stoq_connections", "STOQ connections established now"),
    "handshakes": ("stoq_handshakes_in_flight", "Handshakes in flight now"),
    "relays": ("stoq_tcp_sockets_open", "Application connections relayed now"),
    "udp_flows": ("stoq_captured_udp_flows", "UDP flows open now"),
    "api_streams": ("stoq_api_streams", "API streams open now"),
    "shard_streams": ("stoq_shard_streams", "Streams that carry shards now"),
    "mirrors": ("stoq_mirrors", "Copies of connections on their way to shadows now"),
    "stripe_lanes": (
        "stoq_stripe_lanes",
        "Lanes of connections over several STOQ connections now, without the first of each",
    ),
    "routes": ("stoq_route_streams", "Streams of routes forwarded for others now"),
    "buffer_bytes": ("stoq_buffer_bytes", "Pooled receive buffers"),
    "af_xdp_queues": (
        "stoq_af_xdp_queues",
        "Queues of the interface that are served past the kernel's stack",
    ),
}

NAMED: Final = {
    "udp_dropped": (
        "stoq_captured_udp_dropped_datagrams",
        "reason",
        "Applications' datagrams dropped",
    ),
    "hop_dropped": ("stoq_hop_dropped_packets", "reason", "Packets of tunnels dropped"),
    "af_xdp_fallbacks": (
        "stoq_af_xdp_fallbacks",
        "reason",
        "Sends left to the socket although an interface is served past the kernel's stack",
    ),
    "af_xdp_dropped": (
        "stoq_af_xdp_dropped_frames",
        "reason",
        "Frames that came past the kernel's stack and were dropped",
    ),
    "refused": ("stoq_refused", "reason", "Captured connections refused by the routing table"),
    "streams_refused": ("stoq_streams_refused", "code", "Streams refused, by stream code"),
    "connections_closed": (
        "stoq_connections_closed",
        "code",
        "STOQ connections closed, by connection code",
    ),
    "adapt_changes": (
        "stoq_adapt_changes",
        "tier",
        "Decisions of adaptation by the tier decided on, dry runs included",
    ),
}
"""Numbers by reason or the like: metric name, label and help."""
