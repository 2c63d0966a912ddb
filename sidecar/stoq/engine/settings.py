"""What an engine is told at start (crate `stoq-io`, module `settings`).

Defaults are the engine's; a test compares them. The engine checks ranges and names the field.
"""

from typing import Literal

import msgspec

from stoq.broker.lending import Lent

LogLevel = Literal["error", "warn", "info", "debug", "trace"]
AccessLog = Literal["json", "text", "off"]
AdaptMode = Literal["on", "dry-run", "off"]


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """One listening address, or sockets that somebody else bound."""

    listen: str
    """Address and port to bind, such as `[::]:14008`; with `fds` it only documents them."""
    fds: tuple[int, ...] = ()
    """Bound sockets from the broker, one per worker; the engine owns them from now on."""


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """QUIC parameters of every connection."""

    mtu: int = 1500
    """MTU of the pod's interface in bytes, headers included."""
    stream_window: int = 1_000_000
    """Bytes a peer may send on one stream before the application has read them."""
    connection_window: int = 8_000_000
    """The same over all streams of a connection."""
    stalled_window: int = 128_000_000
    """Bytes by which connection windows may grow for stalled applications, per worker."""
    send_window: int = 4_000_000
    """Bytes accepted from applications and not yet acknowledged, per connection."""
    idle_timeout_ms: int = 15_000
    """A connection that hears nothing for so long is dead."""
    keep_alive_ms: int = 5_000
    """An otherwise silent connection sends a ping this often; 0: never."""
    dial_timeout_ms: int = 5_000
    """A dial that is not answered within this time has failed."""
    max_streams: int = 4096
    """Streams that a peer may have open on one connection."""
    ack_threshold: int = 0
    """Ask peers for one ACK per so many packets; 0: QUIC's every second."""
    gso_segments: int = 64
    """Datagrams per kernel send at most."""


class Adapt(msgspec.Struct, frozen=True, kw_only=True):
    """Adaptation of live connections to their paths; what is None is for the tier to say."""

    mode: AdaptMode = "on"
    """`dry-run`: decide and count, change nothing; `off`: measure nothing either."""
    tier: str | None = None
    """The tier, whatever is measured."""
    min_tier: str | None = None
    """The worst that may be chosen: slow, home, standard, performance, enterprise, datacenter."""
    max_tier: str | None = None
    """The best."""
    congestion: str | None = None
    """The congestion controller, whatever the tier: cubic, newreno or bbr3."""
    max_rate: int | None = None
    """Bits per second that one connection may send at; 1,000,000 at least."""
    receive_window: tuple[int, int] | None = None
    """Least and most bytes; None: up to twice `Transport.connection_window`."""
    send_window: tuple[int, int] | None = None
    """Least and most bytes; None: up to four times `Transport.send_window`."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what peers and applications can make the engine hold."""

    connections: int = 20_000
    """QUIC connections per worker."""
    handshakes_before_retry: int = 64
    """Handshakes in flight per worker above which clients must prove their address first."""
    handshakes: int = 1024
    """Handshakes in flight per worker above which first datagrams are dropped."""
    relays: int = 50_000
    """Relayed TCP connections per worker."""
    api_streams: int = 4096
    """API streams open at once."""
    object_bytes: int = 8 << 20
    """Bytes of the largest object that is taken from a peer, 8 MiB at most."""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """How long connections to peers are kept."""

    idle_ms: int = 300_000
    """A dialled connection without streams for so long is closed."""
    streams_per_connection: int = 2048
    """Streams on one connection above which new flows get a further one."""
    connections_per_peer: int = 4
    """Connections to one peer at most."""


class Udp(msgspec.Struct, frozen=True, kw_only=True):
    """Captured UDP, by sockets of the broker; the engine owns them from now on."""

    capture: tuple[int, ...]
    """Transparent sockets at which datagrams arrive, one per worker."""
    inject: tuple[int, ...]
    """Raw sockets, one per IP family, bound to loopback: what enters the pod."""
    emit: tuple[int, ...]
    """The same, not bound: what leaves the pod for destinations outside the mesh."""
    idle_ms: int = 60_000
    """A flow that is silent for so long has ended."""
    unanswered_ms: int = 30_000
    """The same, for one that nobody has answered."""
    flows: int = 16_384
    """Flows per worker; the datagrams of further ones are dropped."""
    flows_per_peer: int = 2048
    """Of those, flows with one address."""


class AfXdp(msgspec.Struct, frozen=True, kw_only=True):
    """An interface whose datagrams go past the kernel's stack; the engine owns all descriptors."""

    interface: str
    """Its name."""
    ring: int
    """Entries of each ring of a queue, a power of two."""
    chunk: int
    """Bytes of a chunk of memory, 2048 or 4096."""
    scattered: bool
    """Whether a frame may take several chunks."""
    program: int
    """Keeps the kernel's program attached."""
    taken: int
    """Where that is told what to take."""
    sockets: tuple[int, ...]
    """One for each queue, from 0 on."""
    memories: tuple[int, ...]
    """The memory of each."""

    @classmethod
    def of(cls, lent: Lent) -> "AfXdp":
        """What has been lent, which then is the engine's."""
        return cls(
            interface=lent.interface,
            scattered=lent.scattered,
            ring=lent.ring,
            chunk=lent.chunk,
            program=lent.program,
            taken=lent.taken,
            sockets=tuple(socket for socket, _ in lent.queues),
            memories=tuple(memory for _, memory in lent.queues),
        )


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway forwards at most, all workers together. The table says what it forwards."""

    routes: int = 1024
    """Routes at once, each with a socket of its own where it ends here."""
    routes_per_peer: int = 64
    """Of those, routes of one identity."""
    gateways: int = 4
    """Gateways of a route, 8 at most."""
    queue_bytes: int = 256 << 10
    """Bytes of a route that wait until they can be sent, in each direction."""
    idle_ms: int = 60_000
    """A route that forwards nothing for so long is ended."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an engine needs to know, in groups."""

    name: str = ""
    """Name of the workload, for logs and metrics."""
    namespace: str = ""
    """Its namespace."""
    workers: int = 0
    """Threads; 0: one per CPU the process may use, at most 4."""
    stoq: Listener | None = None
    """Mutually authenticated STOQ (UDP); None: only dial."""
    bootstrap: Listener | None = None
    """STOQ for clients that may have no certificate yet (UDP); API streams only."""
    outbound: Listener | None = None
    """Where captured outbound TCP arrives."""
    inbound: Listener | None = None
    """Where captured inbound plaintext TCP arrives."""
    probe_nonce: str | None = None
    """32 hexadecimal digits, answered to the capture probe."""
    transparent_fd: int | msgspec.UnsetType = msgspec.UNSET
    """A transparent IPv4 listener on loopback, which the engine then owns; without it
    `Engine.set_transparent` takes CAP_NET_RAW for IPv4 clients."""
    udp: Udp | msgspec.UnsetType = msgspec.UNSET
    """Sockets for captured UDP; without it UDP is not captured."""
    af_xdp: AfXdp | msgspec.UnsetType = msgspec.UNSET
    """An interface past the kernel's stack; without it all datagrams go by the sockets."""
    gateway: Gateway | msgspec.UnsetType = msgspec.UNSET
    """Forward routes of others; without it this is no gateway."""
    ipv6_only: bool = False
    """Refuse IPv4 everywhere."""
    transport: Transport = Transport()
    adapt: Adapt = Adapt()
    limits: Limits = Limits()
    pool: Pool = Pool()
    access_log: AccessLog = "off"
    """One line per relayed connection."""
    log_level: LogLevel = "info"
    """Least severe level that is logged."""
    qlog_dir: str | None = None
    """Folder for one qlog file per connection; None: no qlog."""

    def to_json(self) -> str:
        """The document that the engine reads."""
        return msgspec.json.encode(self).decode()
