"""Health pages, the listeners they stand on, and /config."""

import asyncio
import json
import socket
from ipaddress import ip_address

import pytest

from stoq import constants
from stoq.engine import Service
from stoq.http import Request
from stoq.registry import FederatedTrust, MeshEntry, RegistryState, TrustEntry
from stoq_sidecar import health, listeners
from stoq_sidecar.admin import config_page
from stoq_sidecar.discovery import DiscoveryStatus
from stoq_sidecar.readiness import Readiness
from stoq_sidecar.svid import SvidStatus


async def test_ready_says_what_blocks_until_nothing_does() -> None:
    readiness = Readiness(["capture", "identity"])
    pages = health.routes(readiness, lambda: b"metrics", "text/plain", lambda: b"{}")
    request = Request("GET", "/healthz/ready", {}, "::1")
    readiness.note("identity", "the CA is gone")
    answer = await pages["GET", "/healthz/ready"](request)
    assert answer.status == 503
    assert answer.body == b"capture: has not started\nidentity: the CA is gone\n"
    readiness.drop("capture")
    readiness.drop("identity")
    assert (await pages["GET", "/healthz/ready"](request)).status == 200
    assert (await pages["GET", "/healthz/live"](request)).body == b"live\n"
    assert (await pages["GET", "/metrics"](request)).body == b"metrics"
    assert (await pages["GET", "/plaintext"](request)).body == b"{}"


async def test_ready_holds_its_answer_back_until_there_is_one() -> None:
    readiness = Readiness(["identity"])
    ready = health.probes(readiness)["GET", "/healthz/ready"]
    asked = asyncio.ensure_future(ready(Request("GET", "/healthz/ready", {"wait": "5"}, "::1")))
    await asyncio.sleep(0)
    assert not asked.done()
    readiness.drop("identity")
    assert (await asked).status == 200


async def test_ready_holds_its_answer_back_for_as_long_as_asked() -> None:
    readiness = Readiness(["identity"])
    ready = health.probes(readiness)["GET", "/healthz/ready"]
    assert (await ready(Request("GET", "/healthz/ready", {"wait": "0.01"}, "::1"))).status == 503
    asked = asyncio.ensure_future(ready(Request("GET", "/healthz/ready", {"wait": "5"}, "::1")))
    await asyncio.sleep(0)
    readiness.drain()
    assert (await asked).body == b"drain: the sidecar is ending\n"


@pytest.mark.parametrize("wait", ["soon", "-1", "5.1", "nan", "inf"])
async def test_a_wait_that_is_none_is_refused(wait: str) -> None:
    ready = health.probes(Readiness(["identity"]))["GET", "/healthz/ready"]
    answer = await ready(Request("GET", "/healthz/ready", {"wait": wait}, "::1"))
    assert answer.status == 400
    assert answer.body == b"wait: use seconds from 0 to 5\n"


def test_the_admin_listeners_are_bound_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ADMIN_PORT", 0)
    monkeypatch.setattr(constants, "METRICS_PORT", 0)
    admin = listeners.admin_listeners(ipv6=True)
    everywhere = listeners.metrics_listener(ipv6=True)
    only_ipv4 = listeners.metrics_listener(ipv6=False)
    hosts = [one.getsockname()[0] for one in (*admin, everywhere, only_ipv4)]
    for one in (*admin, everywhere, only_ipv4):
        one.close()
    assert hosts == ["127.0.0.1", "::1", "::", "0.0.0.0"]


def test_a_taken_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(constants, "ADMIN_PORT", port)
        with pytest.raises(OSError, match=f"127.0.0.1 port {port}: .*second sidecar"):
            listeners.admin_listeners(ipv6=False)


def test_config_shows_the_state_without_certificates() -> None:
    state = RegistryState(
        epoch="e",
        version=7,
        mesh=MeshEntry(trust_domain="td"),
        trust=TrustEntry(roots=(b"root", b"next"), federated=(FederatedTrust("two", (b"other",)),)),
        workloads={},
        services={},
    )
    page = config_page(
        settings={"pod": {"name": "web-0"}},
        engine='{"workers": 2}',
        own=[ip_address("fd00::2")],
        captured_udp=True,
        svid=SvidStatus(spiffe_id="spiffe://td/ns/shop/sa/web"),
        crypto={"policy": None, "profile": "hybrid-512"},
        discovery=DiscoveryStatus(version=7),
        state=state,
        failing=[
            Service(
                destination_service_name="db",
                destination_service_namespace="shop",
                failovers=3,
                ejections=1,
                ejected=("[fd00::3]:5432",),
            )
        ],
        blocking={"capture": "no"},
    )
    trust = json.loads(json.dumps(page))["registry"]["trust"]
    assert trust["roots"] == 2
    assert trust["federated"] == [{"trust_domain": "two", "roots": 1}]
    assert page["engine"] == {"workers": 2}
    assert page["addresses"] == ["fd00::2"]
    assert page["captured_udp"] is True
    assert page["crypto"] == {"policy": None, "profile": "hybrid-512"}
    assert page["failing"] == [
        {
            "namespace": "shop",
            "name": "db",
            "failovers": 3,
            "ejections": 1,
            "ejected": ["[fd00::3]:5432"],
        }
    ]


def test_config_before_the_registry_has_spoken() -> None:
    page = config_page(
        settings={},
        engine="{}",
        own=[],
        captured_udp=False,
        svid=SvidStatus(),
        crypto={},
        discovery=DiscoveryStatus(),
        state=None,
        failing=[],
        blocking={},
    )
    assert page["registry"] is None
