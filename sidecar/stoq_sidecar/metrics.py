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
from stoq_sidecar.metric_names import COUNTERS, GAUGES, NAMED, NANOSECONDS
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
    for field, (name, text) in NANOSECONDS.items():
        yield CounterMetricFamily(name, text, value=getattr(snapshot.counters, field) / 1e9)
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
    yield CounterMetricFamily(
        "stoq_registry_unsigned_messages",
        "What the registry said and the control plane had not signed: it was not used",
        value=discovery.unsealed,
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
