"""What an engine tells about itself (crate `stoq-io`, modules `snapshot` and `counters`).

The names are the engine's; a test decodes what a real engine says. Fields that a newer engine may
add are ignored.
"""

from typing import Literal

import msgspec


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Plain counters since the start, summed over workers; each only grows."""

    udp_datagrams_sent: int
    udp_bytes_sent: int
    """Bytes of UDP payload."""
    udp_sends: int
    """Calls to the kernel; datagrams per call is the GSO batch."""
    udp_datagrams_received: int
    udp_bytes_received: int
    udp_receives: int
    """Buffers from the kernel; datagrams per buffer is the GRO batch."""
    misrouted_forwarded: int
    """Datagrams of another worker's connection, forwarded to it."""
    misrouted_dropped: int
    connections_dialled: int
    dials_failed: int
    """Dials without an answer in time."""
    handshakes_completed: int
    handshakes_resumed: int
    handshakes_failed: int
    crypto_refused: int
    """Handshakes and connections that ended because policy requires another crypto profile."""
    crypto_fallbacks: int
    """Handshakes completed with a peer of another crypto profile than ours."""
    handshakes_refused: int
    """First datagrams answered with a refusal: too many connections, or draining."""
    handshakes_dropped: int
    """First datagrams dropped: too many handshakes in flight."""
    retries_sent: int
    """Clients asked to prove their address first (RFC 9000, section 8.1.2)."""
    reauthentications_sent: int
    """Renewed identities proven to peers of live connections."""
    reauthentications_accepted: int
    """Peers' renewed certificates taken on live connections."""
    reauthentications_refused: int
    packets_refused: int
    stream_tokens_refused: int
    """The same, refused: the connection was closed."""
    api_streams_opened: int
    api_streams_accepted: int
    capture_probes: int
    plaintext_probes: int
    """Plaintext connections let in as probes from exempt sources."""
    plaintext_permitted: int
    """Plaintext connections let in because `inbound` is `permissive`."""
    passthrough: int
    """Outbound connections that left the mesh."""
    captured_udp_outbound: int
    """Flows of captured UDP that applications of this pod began, towards the mesh."""
    captured_udp_inbound: int
    """Those that peers began."""
    captured_udp_plain: int
    """Those with ends outside the mesh, either way, in plaintext."""
    captured_udp_sent: int
    captured_udp_sent_bytes: int
    captured_udp_plain_bytes: int
    """Payload that was given to the kernel to leave the pod in plaintext."""
    captured_udp_received: int
    """Datagrams handed to applications."""
    captured_udp_received_bytes: int
    captured_udp_streamed: int
    """Of those sent, the ones too large for a QUIC datagram."""
    objects_sent: int
    """Objects that peers have taken whole."""
    objects_received: int
    """Objects that came whole."""
    objects_expired: int
    """Transfers from peers that took too long."""
    shards_taken: int
    """Manifests and shards taken."""
    shards_repeated: int
    """Those that were there already."""
    shards_dropped: int
    """Shards in datagrams that could not be kept."""
    signatures_made: int
    """Objects that we signed."""
    signatures_verified: int
    """Peers' signatures that verified, each as often as a stream brought it."""
    signatures_refused: int
    """Peers' keys and signatures that were refused."""
    mirrors_sent: int
    """Copies of flows that shadows have taken whole."""
    mirrors_sent_bytes: int
    """Their bytes, and those of copies that did not become whole."""
    mirrors_dropped: int
    """Copies given up because what waited for the shadow did not fit its queue."""
    mirrors_skipped: int
    """Copies not begun: nobody takes them, a failure was lately, or there are too many."""
    mirrors_failed: int
    """Copies that ended because the shadow, or the way to it, failed."""
    mirrors_received: int
    """Copies from peers that were handed to the application."""
    stripe_flows: int
    """Flows that began as ones of several lanes, here or by peers."""
    stripe_lanes_joined: int
    """Further lanes of flows that were put to work."""
    stripe_lanes_lost: int
    """Those that ended before their flow."""
    stripe_lanes_refused: int
    """Further lanes of peers that belong to no flow here."""
    routes_opened: int
    """Routes of peers taken, as a gateway."""
    routes_refused: int
    hop_packets: int
    """Packets of routes forwarded, in either direction."""
    hop_bytes: int
    hop_streamed: int
    """Packets that no datagram of the tunnel took: they went by its stream."""
    hop_beside: int
    """Packets sent beside their tunnel, without its encryption around theirs."""
    hop_given_up: int
    """Times that such packets did not get through any more."""
    af_xdp_frames_received: int
    """Frames that came past the kernel's stack."""
    af_xdp_frames_sent: int
    """Frames that were sent past it."""
    af_xdp_frames_malformed: int
    """Frames that came past it and hold no datagram for this engine."""
    adapt_measurements: int
    """Measurements of paths that adaptation has judged."""
    adapt_nanoseconds: int
    """Time that this took, with carrying out what was decided."""


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """What is held now."""

    connections: int
    """Established STOQ connections."""
    handshakes: int
    """Handshakes in flight."""
    relays: int
    """Relayed application connections."""
    udp_flows: int
    """Flows of captured UDP."""
    api_streams: int
    shard_streams: int
    """Streams that carry shards."""
    mirrors: int
    """Copies of flows on their way to shadows."""
    stripe_lanes: int
    """Further lanes of striped flows."""
    routes: int
    """Streams of routes that are forwarded for others."""
    buffer_bytes: int
    """Bytes of pooled receive buffers."""
    af_xdp_queues: int
    """Queues of an interface that are served past the kernel's stack."""


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Durations by bucket."""

    bounds: tuple[float, ...]
    """Upper bounds in seconds; one more bucket without a bound follows."""
    counts: tuple[int, ...]
    """How many fell into each bucket, not added up; one more than `bounds`."""
    sum: float
    """All durations together, seconds."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What one access policy had to say about flows that peers opened here."""

    policy: str
    """`<namespace>/<name>`; `other` beyond a thousand policies."""
    action: Literal["allow", "deny", "not_allowed"]
    """`not_allowed`: it allows others only, and no policy admitted the peer."""
    dry_run: bool
    """Whether it is only tried out; nothing was refused then."""
    flows: int


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How the endpoints of one service have failed."""

    destination_service_name: str
    destination_service_namespace: str
    failovers: int
    """Connections that failed at one endpoint and were tried at another."""
    ejections: int
    """Times that an endpoint was ejected because of a connection to this service."""
    ejected: tuple[str, ...]
    """Endpoints that get no connections now: addresses with ports."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Flows that share their labels. A label that is not known is `unknown`."""

    reporter: Literal["source", "destination"]
    source_workload: str
    source_workload_namespace: str
    source_principal: str
    destination_workload: str
    destination_workload_namespace: str
    destination_principal: str
    destination_service_name: str
    destination_service_namespace: str
    connection_security_policy: Literal["mutual_tls", "unknown"]
    key_exchange: str
    signature: str
    cipher: str
    opened: int
    closed: int
    sent_bytes: int
    """Application bytes that the reporting workload sent."""
    received_bytes: int
    """Application bytes that the reporting workload received."""
    failed: tuple[tuple[str, int], ...]
    """Failures by `response_flags`; flags without one are left out."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Every counter and gauge of an engine, read once."""

    uptime_seconds: float
    workers: int
    table_version: int
    """Version of the routing table in use; 0 before the first."""
    counters: Counters
    gauges: Gauges
    refused: dict[str, int]
    """Captured connections that the routing table refused, by reason."""
    streams_refused: dict[str, int]
    """Streams refused, by stream code."""
    connections_closed: dict[str, int]
    """Established connections closed, by connection code."""
    udp_dropped: dict[str, int]
    """Captured datagrams dropped, by reason."""
    hop_dropped: dict[str, int]
    """Packets of tunnels dropped, by reason."""
    af_xdp_fallbacks: dict[str, int]
    """Sends left to the socket though an interface is served past the stack, by reason."""
    af_xdp_dropped: dict[str, int]
    """Frames that came past the stack and were dropped, by reason."""
    access: tuple[Access, ...]
    adapt_changes: dict[str, int]
    """Decisions of adaptation, by the tier decided on; also those of dry runs."""
    adapt_connections: dict[str, int]
    """Connections by their tier now."""
    services: tuple[Service, ...]
    """Those of which an endpoint has failed."""
    handshake_seconds: Histogram
    flows: tuple[Flow, ...]
    access_log_dropped: int
    """Access-log lines dropped because their queue was full."""


class AdaptationChange(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of adaptation."""

    age_seconds: float
    from_tier: str = msgspec.field(name="from")
    to: str
    cause: Literal["measured", "policy", "manual"]
    applied: bool
    """False in a dry run."""


class Adaptation(msgspec.Struct, frozen=True, kw_only=True):
    """How one connection has adapted to its path."""

    tier: str
    """Its parameters are from this tier; `standard` until three measurements agree."""
    measured_tier: str
    """That of the path, whatever the policy."""
    confidence: float
    """How sure that is, 0 to 1."""
    congestion: str
    """Controller in force: `cubic`, `newreno` or `bbr3`."""
    receive_window: int
    """Bytes the peer may send before they have been read."""
    send_window: int
    """Bytes accepted from applications and not yet acknowledged."""
    gso_segments: int
    """Datagrams per kernel send at most."""
    pacing_rate: int | None
    """Bits per second it sends at; None: as fast as the window allows."""
    min_rtt_seconds: float
    jitter_seconds: float
    delivery_rate: int | None
    """Largest recent rate in bits per second while the path was the limit."""
    loss_ratio: float | None
    """Share of bytes lost lately, without the worst burst; None: too few to tell."""
    application_limited_ratio: float
    """Share of the last two seconds in which the application was the limit."""
    packets_per_wake_up: float | None
    """Packets that a turn of the worker has for it, smoothed; None before the first."""
    delivered_bytes: int
    lost_bytes: int
    ecn_marks: int
    changes: tuple[AdaptationChange, ...]
    """The last decisions, the newest first."""


class Signatures(msgspec.Struct, frozen=True, kw_only=True):
    """The FALCON signatures over objects that a connection's peer has brought."""

    verified: int
    """Each as often as a stream brought it."""
    refused: int
    """Keys and signatures."""
    signer: str | None
    """The SPIFFE id whose the last one was that verified."""
    key_id: str | None
    """SHA-256 of the key that made it, hexadecimal."""


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One STOQ connection, with the evidence of its handshake; None before it is complete."""

    worker: int
    initiator: Literal["dialled", "accepted"]
    state: Literal["handshake", "established", "closing"]
    remote: str
    """The peer's address and port."""
    spiffe_id: str | None
    """The peer's id, proven; None for a client of the bootstrap listener."""
    key_exchange: str | None
    """Such as `X25519MLKEM768`."""
    signature: str | None
    """The peer's, such as `Ed25519+FALCON-1024`."""
    local_signature: str | None
    cipher: str | None
    """Such as `AES-256-GCM`."""
    profile: str | None
    """Such as `hybrid-1024`."""
    packet_reserve: int
    """Bytes at the end of each packet that are STOQ's and not QUIC's."""
    packet_tokens: bool
    """Whether there is a token in each packet."""
    stream_tokens: bool
    """Whether relayed streams have tokens."""
    signatures: Signatures | None
    """None: they are not in use."""
    resumed: bool
    peer_expires: int | None
    """When the peer's certificate ends, Unix time."""
    handshake_seconds: float | None
    handshake_round_trips: int | None
    """An estimate from the duration; only a packet capture counts them."""
    age_seconds: float
    streams: int
    """Flows and API streams open on it."""
    bytes_sent: int
    """UDP payload bytes."""
    bytes_received: int
    rtt_seconds: float
    congestion_window: int
    mtu: int
    """UDP payload bytes per datagram that the path carries."""
    lost_packets: int
    congestion_events: int
    adaptation: Adaptation | None
    """None: adaptation is off."""


def snapshot(document: str) -> Snapshot:
    """The snapshot in an engine's JSON."""
    return msgspec.json.decode(document, type=Snapshot)


def connections(document: str) -> list[ConnectionInfo]:
    """The connections in an engine's JSON."""
    return msgspec.json.decode(document, type=list[ConnectionInfo])
