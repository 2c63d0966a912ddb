"""The metrics page, from a real engine's snapshot and from one with flows."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stoq.engine import Engine, EngineSettings, Flow, Listener, Service, Snapshot, TlsContext
from stoq.engine.snapshot import Counters, Gauges
from stoq_sidecar.discovery import DiscoveryStatus
from stoq_sidecar.metric_names import COUNTERS, GAUGES, NANOSECONDS
from stoq_sidecar.metrics import FLOW_LABELS, Metrics, Sources
from stoq_sidecar.svid import SvidStatus

FLOW = Flow(
    reporter="source",
    source_workload="web-0",
    source_workload_namespace="shop",
    source_principal="spiffe://td/ns/shop/sa/web",
    destination_workload="db-0",
    destination_workload_namespace="shop",
    destination_principal="spiffe://td/ns/shop/sa/db",
    destination_service_name="db",
    destination_service_namespace="shop",
    connection_security_policy="mutual_tls",
    key_exchange="X25519MLKEM768",
    signature="Ed25519+FALCON-1024",
    cipher="AES-256-GCM",
    opened=5,
    closed=4,
    sent_bytes=100,
    received_bytes=7,
    failed=(("CONNECT", 2),),
)


@pytest.fixture(scope="module")
def snapshot() -> Iterator[Snapshot]:
    settings = EngineSettings(workers=1, stoq=Listener(listen="[::1]:0"))
    engine = Engine(settings, TlsContext())
    yield engine.snapshot()
    asyncio.run(engine.stop())


def page(snapshot: Snapshot) -> list[Sample]:
    svid = SvidStatus(obtained=1000.0, expires=2000.0, renewals=3, failures=1)
    discovery = DiscoveryStatus(
        version=7, updated=1500.0, stale=True, reconnects=2, refused=1, unsealed=3
    )
    sources = Sources(
        snapshot=lambda: snapshot,
        svid=lambda: svid,
        discovery=lambda: discovery,
        ready=lambda: True,
        dns=tuple,
        client_address=lambda: {"ipv6": True, "ipv4": False},
        version="0.1.0",
    )
    text = Metrics(sources).render().decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, f"{name} {labels}"
    return float(found[0])


def test_every_counter_and_gauge_of_the_engine_is_exported() -> None:
    assert set(COUNTERS) | set(NANOSECONDS) == set(Counters.__struct_fields__)
    assert set(GAUGES) == set(Gauges.__struct_fields__)


def test_a_fresh_engine_has_a_whole_page(snapshot: Snapshot) -> None:
    samples = page(snapshot)
    assert value(samples, "stoq_workers") == 1
    assert value(samples, "stoq_udp_sent_bytes_total") == 0
    assert value(samples, "stoq_refused_total", reason="plaintext_strict") == 0
    assert value(samples, "stoq_connections_closed_total", code="revoked") == 0
    assert value(samples, "stoq_handshake_seconds_count") == 0
    assert value(samples, "stoq_build_info", component="sidecar", version="0.1.0") == 1
    assert value(samples, "stoq_client_address_kept", family="ipv6") == 1
    assert value(samples, "stoq_client_address_kept", family="ipv4") == 0
    assert value(samples, "process_resident_memory_bytes") > 0


def test_names_have_our_prefix_and_no_label_is_empty(snapshot: Snapshot) -> None:
    for sample in page(msgspec.structs.replace(snapshot, flows=(FLOW,))):
        assert sample.name.startswith(("stoq_", "process_"))
        assert all(sample.labels.values())


def test_flows_carry_ztunnels_labels_and_what_was_negotiated(snapshot: Snapshot) -> None:
    samples = page(msgspec.structs.replace(snapshot, flows=(FLOW,)))
    labels = {"reporter": "source", "destination_service": "db.shop.stoq", "response_flags": "-"}
    assert value(samples, "stoq_tcp_connections_opened_total", **labels) == 5
    assert value(samples, "stoq_tcp_connections_closed_total", **labels) == 4
    assert value(samples, "stoq_tcp_sent_bytes_total", **labels) == 100
    assert value(samples, "stoq_tcp_received_bytes_total", **labels) == 7
    failed = value(samples, "stoq_tcp_connections_failed_total", response_flags="CONNECT")
    assert failed == 2
    opened = next(s for s in samples if s.name == "stoq_tcp_connections_opened_total")
    assert set(opened.labels) == set(FLOW_LABELS)
    assert opened.labels["signature"] == "Ed25519+FALCON-1024"


def test_a_service_that_was_not_dialled_is_unknown(snapshot: Snapshot) -> None:
    plain = msgspec.structs.replace(FLOW, destination_service_name="unknown")
    samples = page(msgspec.structs.replace(snapshot, flows=(plain,)))
    labels = {"destination_service": "unknown"}
    assert value(samples, "stoq_tcp_sent_bytes_total", **labels) == 100


def test_endpoints_that_fail_are_counted_by_service(snapshot: Snapshot) -> None:
    failing = Service(
        destination_service_name="db",
        destination_service_namespace="shop",
        failovers=4,
        ejections=2,
        ejected=("[fd00::3]:5432",),
    )
    samples = page(msgspec.structs.replace(snapshot, services=(failing,)))
    labels = {"destination_service": "db.shop.stoq", "destination_service_namespace": "shop"}
    assert value(samples, "stoq_endpoint_failovers_total", **labels) == 4
    assert value(samples, "stoq_endpoint_ejections_total", **labels) == 2
    assert value(samples, "stoq_endpoints_ejected", **labels) == 1


def test_decisions_of_adaptation_and_connections_are_shown_by_tier(snapshot: Snapshot) -> None:
    samples = page(
        msgspec.structs.replace(
            snapshot,
            adapt_changes=snapshot.adapt_changes | {"home": 3},
            adapt_connections=snapshot.adapt_connections | {"home": 2},
        )
    )
    assert value(samples, "stoq_adapt_changes_total", tier="home") == 3
    assert value(samples, "stoq_adapt_changes_total", tier="datacenter") == 0
    assert value(samples, "stoq_adapt_connections", tier="home") == 2
    assert value(samples, "stoq_adapt_measurements_total") == 0


def test_the_time_that_adaptation_takes_is_shown_in_seconds(snapshot: Snapshot) -> None:
    counters = msgspec.structs.replace(
        snapshot.counters, adapt_measurements=4, adapt_nanoseconds=2_500_000
    )
    samples = page(msgspec.structs.replace(snapshot, counters=counters))
    assert value(samples, "stoq_adapt_measurements_total") == 4
    assert value(samples, "stoq_adapt_seconds_total") == 0.0025


def test_identity_and_registry_are_on_the_page(snapshot: Snapshot) -> None:
    samples = page(snapshot)
    assert value(samples, "stoq_identity_cert_expiration_timestamp_seconds") == 2000
    assert value(samples, "stoq_identity_cert_refresh_timestamp_seconds") == 1000
    assert value(samples, "stoq_identity_cert_refreshes_total", result="ok") == 3
    assert value(samples, "stoq_identity_cert_refreshes_total", result="error") == 1
    assert value(samples, "stoq_registry_version") == 7
    assert value(samples, "stoq_registry_stale") == 1
    assert value(samples, "stoq_registry_connection_terminations_total") == 2
    assert value(samples, "stoq_registry_refused_versions_total") == 1
    assert value(samples, "stoq_registry_unsigned_messages_total") == 3
    assert value(samples, "stoq_ready") == 1


def test_the_histogram_adds_up(snapshot: Snapshot) -> None:
    sample = snapshot.handshake_seconds
    counts = tuple(range(1, len(sample.counts) + 1))
    filled = msgspec.structs.replace(sample, counts=counts, sum=4.5)
    samples = page(msgspec.structs.replace(snapshot, handshake_seconds=filled))
    assert value(samples, "stoq_handshake_seconds_count") == sum(counts)
    assert value(samples, "stoq_handshake_seconds_bucket", le="+Inf") == sum(counts)
    assert value(samples, "stoq_handshake_seconds_sum") == 4.5
