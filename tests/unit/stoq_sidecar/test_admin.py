"""The administration pages over real HTTP."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from stoq.http import HttpServer, Request
from stoq_sidecar.admin import Actions, routes
from stoq_sidecar.path import PathReport


class Sidecar:
    def __init__(self) -> None:
        self.level, self.drained = "info", False
        self.pins = ("", "")
        self.judged = 0

    async def drain(self) -> None:
        self.drained = True

    async def path(self, address: str) -> PathReport:
        if address != "fd00::2":
            raise ValueError(f"no meshed pod has {address!r}")
        return PathReport(
            address=address, port=14008, spiffe_id="spiffe://td/a", reached=True, seconds=0.1
        )

    def adapt(self, tier: str, congestion: str) -> None:
        if tier == "fast":
            raise ValueError("engine setting adapt.tier: no tier is called 'fast'")
        self.pins = (tier, congestion)

    def adapt_now(self) -> None:
        self.judged += 1

    def set_level(self, level: str) -> None:
        self.level = level

    def actions(self) -> Actions:
        return Actions(
            config=lambda: {"pod": {"name": "web-0"}},
            connections=lambda: [{"peer": "spiffe://td/ns/shop/sa/db"}],
            path=self.path,
            adaptation=lambda: {"policy": None, "pins": self.pins},
            adapt=self.adapt,
            adapt_now=self.adapt_now,
            level=lambda: self.level,
            set_level=self.set_level,
            drain=self.drain,
        )


@pytest.fixture
def sidecar() -> Sidecar:
    return Sidecar()


@pytest.fixture
async def port(sidecar: Sidecar) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(HttpServer("admin", routes(sidecar.actions())).serve([listener]))
    yield listener.getsockname()[1]
    task.cancel()
    await asyncio.wait([task])


async def ask(port: int, line: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def test_config_and_connections_are_json(port: int) -> None:
    status, body = await ask(port, "GET /config")
    assert (status, json.loads(body)) == (200, {"pod": {"name": "web-0"}})
    status, body = await ask(port, "GET /connections")
    assert (status, json.loads(body)) == (200, [{"peer": "spiffe://td/ns/shop/sa/db"}])


async def test_a_path_is_tried_on_request(port: int) -> None:
    status, body = await ask(port, "GET /path?address=fd00::2")
    assert (status, json.loads(body)["reached"]) == (200, True)


async def test_a_path_to_no_meshed_pod_says_so_and_how_to_ask(port: int) -> None:
    status, body = await ask(port, "GET /path?address=fd00::9")
    assert (status, body) == (
        400,
        "no meshed pod has 'fd00::9': GET /path?address=<address of a pod>\n",
    )


async def test_tier_and_controller_are_pinned_and_let_go(port: int, sidecar: Sidecar) -> None:
    status, body = await ask(port, "POST /adapt?tier=home&congestion=bbr3")
    assert (status, json.loads(body)) == (200, {"tier": "home", "congestion": "bbr3"})
    assert sidecar.pins == ("home", "bbr3")
    assert (await ask(port, "POST /adapt?tier=&congestion="))[0] == 200
    assert sidecar.pins == ("", "")
    status, body = await ask(port, "POST /adapt?tier=fast")
    assert status == 400
    assert "adapt.tier: no tier is called 'fast': POST /adapt?tier=" in body
    assert (await ask(port, "POST /adapt-now"))[0] == 200
    status, body = await ask(port, "GET /adapt")
    assert (status, json.loads(body)) == (200, {"policy": None, "pins": ["", ""]})
    assert sidecar.judged == 1


async def test_the_log_level_is_shown_and_changed(port: int, sidecar: Sidecar) -> None:
    assert await ask(port, "GET /log-level") == (200, "info\n")
    assert await ask(port, "POST /log-level?level=debug") == (200, "debug\n")
    assert sidecar.level == "debug"


async def test_an_unknown_level_is_refused_with_the_known_ones(port: int, sidecar: Sidecar) -> None:
    status, body = await ask(port, "POST /log-level?level=loud")
    assert status == 400
    assert "'loud', not one of trace, debug, info, warn, error" in body
    assert sidecar.level == "info"


async def test_drain_takes_a_post(port: int, sidecar: Sidecar) -> None:
    assert (await ask(port, "GET /drain"))[0] == 405
    assert not sidecar.drained
    assert await ask(port, "POST /drain") == (202, "draining\n")
    assert sidecar.drained


@pytest.mark.parametrize("client", ["fd00::7", "10.0.0.7"])
async def test_from_elsewhere_every_page_is_forbidden(sidecar: Sidecar, client: str) -> None:
    for (method, path), handler in routes(sidecar.actions()).items():
        answer = await handler(Request(method, path, {}, client))
        assert answer.status == 403
    assert not sidecar.drained
