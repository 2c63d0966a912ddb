"""Prometheus metrics: the engine's counters read at scrape time, and the state of the agent.

Names begin with `stoq_` and carry base units; the labels of connection metrics are ztunnel's, so
that queries written for it need only another prefix, plus what the handshake negotiated. Nothing
is kept here: every scrape reads one snapshot.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from stoq.engine.snapshot import Flow, Snapshot
from stoq_sidecar.discovery import DiscoveryStatus
from stoq_sidecar.svid import SvidStatus

FLOW_LABELS: Final = (
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "request_protocol",
    "connection_security_policy",
    "key_exchange",
    "signature",
    "cipher",
    "response_flags",
)

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
    "routes_opened": ("stoq_routes_opened", "Routes of peers taken, as a gateway"),
    "routes_refused": ("stoq_routes_refused", "Routes of peers refused"),
    "hop_packets": ("stoq_hop_packets", "Packets of routes forwarded, either way"),
    "hop_bytes": ("stoq_hop_bytes", "Bytes of those"),
    "hop_streamed": (
        "stoq_hop_streamed_packets",
        "Packets of tunnels that were too large for a QUIC datagram",
    ),
    "adapt_measurements": (
        "stoq_adapt_measurements",
        "Measurements of paths that adaptation has judged",
    ),
}
"""Engine counter to metric name (without `_total`) and help."""

GAUGES: Final = {
    "connections": ("stoq_connections", "STOQ connections established now"),
    "handshakes": ("stoq_handshakes_in_flight", "Handshakes in flight now"),
    "relays": ("stoq_tcp_sockets_open", "Application connections relayed now"),
    "udp_flows": ("stoq_captured_udp_flows", "UDP flows open now"),
    "api_streams": ("stoq_api_streams", "API streams open now"),
    "shard_streams": ("stoq_shard_streams", "Streams that carry shards now"),
    "mirrors": ("stoq_mirrors", "Copies of connections on their way to shadows now"),
    "routes": ("stoq_route_streams", "Streams of routes forwarded for others now"),
    "buffer_bytes": ("stoq_buffer_bytes", "Pooled receive buffers"),
}

NAMED: Final = {
    "udp_dropped": (
        "stoq_captured_udp_dropped_datagrams",
        "reason",
        "Applications' datagrams dropped",
    ),
    "hop_dropped": ("stoq_hop_dropped_packets", "reason", "Packets of tunnels dropped"),
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


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a scrape reads; each a function, called once."""

    snapshot: Callable[[], Snapshot]
    svid: Callable[[], SvidStatus]
    discovery: Callable[[], DiscoveryStatus]
    ready: Callable[[], bool]
    dns: Callable[[], Iterable[Metric]]
    client_address: Callable[[], Mapping[str, bool]]
    version: str


class Metrics(Collector):
    """Renders one scrape."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The page."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: it would cost a scrape at start."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        sources = self._sources
        yield from engine_families(sources.snapshot())
        yield from agent_families(sources.svid(), sources.discovery(), ready=sources.ready())
        yield from sources.dns()
        yield client_address_family(sources.client_address())
        build = GaugeMetricFamily("stoq_build_info", "Always 1", labels=("component", "version"))
        build.add_metric(("sidecar", sources.version), 1)
        yield build


def engine_families(snapshot: Snapshot) -> Iterator[Metric]:
    """What the engine counts."""
    for field, (name, text) in COUNTERS.items():
        yield CounterMetricFamily(name, text, value=getattr(snapshot.counters, field))
    for field, (name, text) in GAUGES.items():
        yield GaugeMetricFamily(name, text, value=getattr(snapshot.gauges, field))
    for field, (name, label, text) in NAMED.items():
        family = CounterMetricFamily(name, text, labels=(label,))
        for value, count in getattr(snapshot, field).items():
            family.add_metric((value,), count)
        yield family
    tiers = GaugeMetricFamily(
        "stoq_adapt_connections", "STOQ connections by tier now", labels=("tier",)
    )
    for tier, count in snapshot.adapt_connections.items():
        tiers.add_metric((tier,), count)
    yield tiers
    yield _access(snapshot)
    yield from _services(snapshot)
    yield _handshakes(snapshot)
    yield from _flow_families(snapshot.flows)
    yield GaugeMetricFamily("stoq_workers", "Worker threads", value=snapshot.workers)
    yield GaugeMetricFamily(
        "stoq_table_version", "Routing table in use; 0: none yet", value=snapshot.table_version
    )
    yield CounterMetricFamily(
        "stoq_access_log_dropped_lines",
        "Access-log lines dropped: the log was not read fast enough",
        value=snapshot.access_log_dropped,
    )


def agent_families(
    svid: SvidStatus, discovery: DiscoveryStatus, *, ready: bool
) -> Iterator[Metric]:
    """What the agent knows about its identity and the registry."""
    yield GaugeMetricFamily(
        "stoq_identity_cert_expiration_timestamp_seconds",
        "End of the SVID's life; 0: none yet",
        value=svid.expires,
    )
    yield GaugeMetricFamily(
        "stoq_identity_cert_refresh_timestamp_seconds",
        "When the SVID was last renewed; 0: never",
        value=svid.obtained,
    )
    refreshes = CounterMetricFamily(
        "stoq_identity_cert_refreshes", "Signings asked for", labels=("result",)
    )
    refreshes.add_metric(("ok",), svid.renewals)
    refreshes.add_metric(("error",), svid.failures)
    yield refreshes
    yield GaugeMetricFamily(
        "stoq_registry_version", "Version of the registry's state", value=discovery.version
    )
    yield GaugeMetricFamily(
        "stoq_registry_update_timestamp_seconds",
        "When the registry last said something; 0: never",
        value=discovery.updated,
    )
    yield GaugeMetricFamily(
        "stoq_registry_stale",
        "1 while the registry is not connected and its last state stays in force",
        value=int(discovery.stale),
    )
    yield CounterMetricFamily(
        "stoq_registry_connection_terminations",
        "Streams to the registry that ended or could not be opened",
        value=discovery.reconnects,
    )
    yield CounterMetricFamily(
        "stoq_registry_refused_versions",
        "States of the registry that could not be used",
        value=discovery.refused,
    )
    yield GaugeMetricFamily("stoq_ready", "1 when every readiness latch dropped", value=int(ready))


def client_address_family(kept: Mapping[str, bool]) -> Metric:
    """Of which clients the application sees the address."""
    made = GaugeMetricFamily(
        "stoq_client_address_kept",
        "1 when the application sees the addresses of meshed clients",
        labels=("family",),
    )
    for family, shown in kept.items():
        made.add_metric((family,), int(shown))
    return made


def _access(snapshot: Snapshot) -> Metric:
    family = CounterMetricFamily(
        "stoq_access_flows",
        "Flows that access policies had a say about",
        labels=("policy", "action", "dry_run"),
    )
    for said in snapshot.access:
        family.add_metric((said.policy, said.action, str(said.dry_run).lower()), said.flows)
    return family


def _services(snapshot: Snapshot) -> Iterator[Metric]:
    names = ("destination_service", "destination_service_name", "destination_service_namespace")
    failovers = CounterMetricFamily(
        "stoq_endpoint_failovers",
        "Connections that failed at one endpoint and were tried at another",
        labels=names,
    )
    ejections = CounterMetricFamily(
        "stoq_endpoint_ejections",
        "Times that an endpoint was ejected because connections to it failed",
        labels=names,
    )
    ejected = GaugeMetricFamily(
        "stoq_endpoints_ejected", "Endpoints that get no connections now", labels=names
    )
    for service in snapshot.services:
        name, namespace = service.destination_service_name, service.destination_service_namespace
        labels = (f"{name}.{namespace}.stoq", name, namespace)
        failovers.add_metric(labels, service.failovers)
        ejections.add_metric(labels, service.ejections)
        ejected.add_metric(labels, len(service.ejected))
    yield from (failovers, ejections, ejected)


def _handshakes(snapshot: Snapshot) -> Metric:
    sample = snapshot.handshake_seconds
    buckets: list[tuple[str, float]] = []
    total = 0
    bounds = [f"{bound:g}" for bound in sample.bounds] + ["+Inf"]
    for bound, count in zip(bounds, sample.counts, strict=True):
        total += count
        buckets.append((bound, total))
    family = HistogramMetricFamily("stoq_handshake_seconds", "Time handshakes took")
    family.add_metric((), buckets, sample.sum)
    return family


def _flow_families(flows: Iterable[Flow]) -> Iterator[Metric]:
    opened, closed, failed, sent, received = (
        CounterMetricFamily(f"stoq_tcp_{name}", text, labels=FLOW_LABELS)
        for name, text in (
            ("connections_opened", "Application connections opened"),
            ("connections_closed", "Application connections closed"),
            ("connections_failed", "Application connections that failed"),
            ("sent_bytes", "Application bytes that the reporting workload sent"),
            ("received_bytes", "Application bytes that the reporting workload received"),
        )
    )
    for flow in flows:
        labels = _labels(flow)
        opened.add_metric((*labels, "-"), flow.opened)
        closed.add_metric((*labels, "-"), flow.closed)
        sent.add_metric((*labels, "-"), flow.sent_bytes)
        received.add_metric((*labels, "-"), flow.received_bytes)
        for flag, count in flow.failed:
            failed.add_metric((*labels, flag), count)
    yield from (opened, closed, failed, sent, received)


def _labels(flow: Flow) -> tuple[str, ...]:
    name, namespace = flow.destination_service_name, flow.destination_service_namespace
    service = "unknown" if name == "unknown" else f"{name}.{namespace}.stoq"
    return (
        flow.reporter,
        flow.source_workload,
        flow.source_workload_namespace,
        flow.source_principal,
        flow.destination_workload,
        flow.destination_workload_namespace,
        flow.destination_principal,
        service,
        name,
        namespace,
        "tcp",
        flow.connection_security_policy,
        flow.key_exchange,
        flow.signature,
        flow.cipher,
    )
