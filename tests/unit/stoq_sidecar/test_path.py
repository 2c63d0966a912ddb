"""Trying the way to another pod, with real engines on loopback."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from stoq.engine import Engine, EngineSettings, Listener
from stoq.registry import MeshEntry, RegistryState, TrustEntry, WorkloadEntry
from stoq_sidecar import path
from support import engines


def state(*workloads: WorkloadEntry) -> RegistryState:
    return RegistryState(
        epoch="e",
        version=1,
        mesh=MeshEntry(trust_domain=engines.TRUST_DOMAIN),
        trust=TrustEntry(roots=()),
        workloads={workload.uid: workload for workload in workloads},
        services={},
    )


def workload(port: int, spiffe_id: str = engines.SERVER) -> WorkloadEntry:
    return WorkloadEntry(
        uid="u", name="db-0", namespace="shop", spiffe_id=spiffe_id, addresses=("::1",), port=port
    )


@dataclass(frozen=True)
class Way:
    """From a client's engine to the port where a peer's engine listens."""

    prober: path.Prober
    port: int


@pytest.fixture
async def way(request: pytest.FixtureRequest) -> AsyncIterator[Way]:
    """Its client dials for as long as the test's parameter says (milliseconds)."""
    ca = engines.authority()
    settings = EngineSettings(
        name="peer", workers=1, stoq=Listener(listen="[::1]:0"), log_level="error"
    )
    async with (
        Engine(settings, engines.identity(ca, engines.SERVER)) as peer,
        Engine(
            engines.client_settings(dial_timeout_ms=getattr(request, "param", 30_000)),
            engines.identity(ca, engines.CLIENT),
        ) as client,
    ):
        port = peer.local_port("stoq")
        assert port is not None
        yield Way(path.Prober(client.dialler, client.connections), port)


async def test_a_path_that_works_tells_suite_round_trip_and_mtu(way: Way) -> None:
    found = path.find(state(workload(way.port)), "0:0::1")
    report = await way.prober.measure(found, "::1")
    assert report.reached, report.error
    assert (report.key_exchange, report.cipher) == ("X25519MLKEM768", "AES-256-GCM")
    assert report.signature == "Ed25519+FALCON-1024"
    assert report.mtu is not None
    assert report.mtu >= 1200
    assert report.rtt_seconds is not None


@pytest.mark.parametrize("way", [1000], indirect=True)
async def test_a_port_where_nobody_answers_is_an_outcome_not_an_exception(way: Way) -> None:
    report = await way.prober.measure(workload(9), "::1")
    assert not report.reached
    assert "[::1]:9" in report.error
    assert report.mtu is None


async def test_another_identity_at_the_address_is_not_reached(way: Way) -> None:
    report = await way.prober.measure(workload(way.port, engines.CLIENT), "::1")
    assert not report.reached
    assert report.error


@pytest.mark.parametrize("known", [None, state(), state(workload(1))])
def test_an_address_without_a_meshed_pod_is_refused(known: RegistryState | None) -> None:
    with pytest.raises(path.Unmeshed, match="no meshed pod has fd00::7"):
        path.find(known, "fd00::7")


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="web-0"):
        path.find(state(), "web-0")
