"""What the engine is told, from the sidecar's settings."""

from pathlib import Path

import pytest
from msgspec import UNSET

from stoq.broker.client import Sockets
from stoq.engine.settings import Adapt, EngineSettings, Gateway
from stoq_sidecar.cpus import MOST, quota, workers
from stoq_sidecar.engine_settings import Surroundings, engine_settings
from stoq_sidecar.settings import read

AROUND = Surroundings(sockets=None, mtu=9000, workers=2, nonce=bytes(16), ipv6=True)


def told(around: Surroundings = AROUND, **environment: str) -> EngineSettings:
    return engine_settings(read("", environment), around)


def test_without_a_broker_the_engine_opens_its_own_sockets() -> None:
    found = told()
    assert (found.stoq.listen, found.outbound.listen, found.inbound.listen) == (
        "[::]:14008", "[::]:14001", "[::]:14006",
    )  # fmt: skip
    assert found.stoq.fds == found.outbound.fds == found.inbound.fds == ()
    assert found.probe_nonce == "0" * 32
    assert found.workers == 2


def test_passed_sockets_are_used() -> None:
    passed = Sockets(outbound=5, inbound=6, stoq=(7, 8))
    found = told(Surroundings(passed, 1500, 2, bytes(16), ipv6=True))
    assert (found.stoq.fds, found.outbound.fds, found.inbound.fds) == ((7, 8), (5,), (6,))


def test_sockets_for_clients_addresses_come_from_the_listener_that_there_is() -> None:
    helped = Sockets(outbound=5, inbound=6, stoq=(7,), transparent=8)
    for passed, descriptor in ((helped, 8), (None, UNSET)):
        around = Surroundings(passed, 1500, 1, bytes(16), ipv6=True)
        assert told(around).transparent_fd == descriptor


def test_a_kernel_without_ipv6_gets_ipv4_listeners() -> None:
    found = told(Surroundings(None, 1500, 1, bytes(16), ipv6=False))
    assert found.stoq.listen == "0.0.0.0:14008"


def test_the_links_mtu_holds_unless_one_is_set() -> None:
    assert told().transport.mtu == 9000
    assert told(STOQ_LINK_MTU="1400").transport.mtu == 1400


def test_durations_become_milliseconds_and_three_pings_fit_into_the_silence() -> None:
    found = told(STOQ_DATA_IDLE_SECONDS="12", STOQ_DATA_POOL_IDLE_SECONDS="1.5")
    assert found.transport.idle_timeout_ms == 12_000
    assert found.transport.keep_alive_ms == 4_000
    assert found.pool.idle_ms == 1_500


def test_a_gateway_forwards_and_listens_for_nothing_captured() -> None:
    assert told().gateway is UNSET
    found = told(STOQ_GATEWAY_ENABLED="true")
    assert found.gateway == Gateway(), "our defaults are the engine's"
    assert found.stoq == told().stoq
    assert (found.outbound, found.inbound) == (None, None)
    found = told(
        STOQ_GATEWAY_ENABLED="true", STOQ_GATEWAY_IDLE_SECONDS="1.5", STOQ_GATEWAY_GATEWAYS="2"
    )
    assert found.gateway == Gateway(idle_ms=1500, gateways=2)


def test_our_defaults_are_the_engines() -> None:
    # Where the engine's default is as good as ours, there must not be two.
    ours, theirs = told(), EngineSettings()
    assert ours.transport.stream_window == theirs.transport.stream_window
    assert ours.transport.connection_window == theirs.transport.connection_window
    assert ours.transport.idle_timeout_ms == theirs.transport.idle_timeout_ms
    assert ours.transport.keep_alive_ms == theirs.transport.keep_alive_ms
    assert ours.pool.idle_ms == theirs.pool.idle_ms
    assert ours.adapt == theirs.adapt


def test_adaptation_is_bounded_and_pinned_as_it_is_set() -> None:
    found = told(
        STOQ_ADAPT_MODE="dry-run", STOQ_ADAPT_MIN_TIER="home", STOQ_ADAPT_MAX_TIER="enterprise",
        STOQ_ADAPT_CONGESTION="bbr2", STOQ_ADAPT_MAX_RATE="5000000",
        STOQ_ADAPT_RECEIVE_WINDOW_MOST="9000000", STOQ_ADAPT_SEND_WINDOW_MOST="2000000",
    )  # fmt: skip
    assert found.adapt == Adapt(
        mode="dry-run",
        min_tier="home",
        max_tier="enterprise",
        congestion="bbr2",
        max_rate=5_000_000,
        receive_window=(12_000, 9_000_000),
        send_window=(12_000, 2_000_000),
    )
    assert told(STOQ_ADAPT_TIER="slow").adapt.tier == "slow"


def test_log_and_qlog_are_passed_on() -> None:
    found = told(
        STOQ_LOG_ACCESS="json", STOQ_LOG_LEVEL="trace", STOQ_DATA_QLOG_DIR="/q",
        STOQ_LINK_IPV6_ONLY="true",
    )  # fmt: skip
    assert (found.access_log, found.log_level, found.qlog_dir) == ("json", "trace", "/q")
    assert found.ipv6_only
    assert told().qlog_dir is None


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", None),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("10000 100000", 1),
        ("", None),
        ("x y", None),
        ("1 0", None),
    ],
)
def test_the_cgroups_quota_is_read_in_whole_cpus(text: str, cpus: int | None) -> None:
    assert quota(text) == cpus


def test_workers_follow_wish_affinity_and_quota(tmp_path: Path) -> None:
    cpu_max = tmp_path / "cpu.max"
    assert workers(7, cpu_max) == 7
    assert 1 <= workers(0, cpu_max) <= MOST
    cpu_max.write_text("100000 100000")
    assert workers(0, cpu_max) == 1
