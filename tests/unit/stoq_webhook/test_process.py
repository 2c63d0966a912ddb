"""The running webhook, over TLS, with an API server in memory: only its watches are not real."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from lab.ports import free_port
from stoq.http import HttpServer, Limits
from stoq_kube.apiserver import ApiError
from stoq_operator.webhook.process import LIMITS, Webhook, serve
from stoq_operator.webhook.settings import Settings, read
from support.pages import page
from support.patience import PATIENCE
from support.pods import pod
from support.webhook import Connection, certificate, connect, review

IMAGES = {"STOQ_INJECT_SIDECAR_IMAGE": "s", "STOQ_INJECT_INIT_IMAGE": "i"}


class Cluster:
    """What the webhook follows, told by the test; keeps the events it writes."""

    def __init__(self, *, broken: bool = False) -> None:
        self.events: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._broken = broken

    async def follow_certificate(self, changed: Callable[[Mapping[str, bytes]], None]) -> None:
        chain, key = certificate()
        changed({"tls.crt": chain.encode(), "tls.key": key.encode()})
        await asyncio.Event().wait()

    async def follow_namespaces(self, labels: dict[str, Mapping[str, str]]) -> None:
        labels["shop"] = {"pod-security.kubernetes.io/enforce": "baseline"}
        await asyncio.Event().wait()

    async def write_event(self, event: Mapping[str, Any]) -> None:
        self.events.put_nowait(event)
        if self._broken:
            raise ApiError("refused")


@contextlib.asynccontextmanager
async def serving(webhook: Webhook, limits: Limits = LIMITS) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    routes = {("POST", "/inject"): webhook.inject}
    server = HttpServer("stoq-webhook", routes, limits, webhook.serving.context)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def loaded(webhook: Webhook) -> str:
    chain, key = certificate()
    webhook.certificate({"tls.crt": chain.encode(), "tls.key": key.encode()})
    return chain


def settings() -> Settings:
    return read(IMAGES)


async def injected(connection: Connection) -> bool:
    status, body = await connection.post("/inject", review(pod()))
    assert status == 200
    return "patch" in json.loads(body)["response"]


async def test_many_reviews_go_over_one_connection() -> None:
    webhook = Webhook(settings())
    chain = loaded(webhook)
    async with serving(webhook) as port:
        connection = await connect(port, chain)
        assert all([await injected(connection) for _ in range(20)])
        connection.close()


async def test_a_review_costs_far_less_than_its_budget_of_20_milliseconds() -> None:
    webhook = Webhook(settings())
    chain = loaded(webhook)
    many = pod(containers=[{"name": f"c{n}", "image": "i" * 200} for n in range(50)])
    async with serving(webhook) as port:
        connection = await connect(port, chain)
        await connection.post("/inject", review(many))
        began = time.process_time()  # of client, TLS and server; not of who else runs here
        for _ in range(100):
            await connection.post("/inject", review(many))
        each = (time.process_time() - began) / 100
        connection.close()
    assert each < 0.01, each


async def test_no_answer_waits_for_the_acknowledgement_of_its_own_beginning() -> None:
    webhook = Webhook(settings())
    chain = loaded(webhook)
    took = []
    async with serving(webhook) as port:
        connection = await connect(port, chain)
        for _ in range(60):
            began = time.perf_counter()
            await injected(connection)
            took.append(time.perf_counter() - began)
        connection.close()
    # A kernel acknowledges the first segments of a connection at once, later ones after 40 ms.
    assert min(took[30:]) < 0.03, took


async def test_a_new_certificate_serves_new_connections_and_keeps_old_ones() -> None:
    webhook = Webhook(settings())
    first = loaded(webhook)
    async with serving(webhook) as port:
        before = await connect(port, first)
        second = loaded(webhook)
        after = await connect(port, second)
        assert before.serial() != after.serial()
        assert await injected(before)
        assert await injected(after)
        before.close()
        after.close()


@pytest.mark.parametrize("broken", ["key", "nothing", "binary", "garbage"])
async def test_a_certificate_that_can_not_be_served_leaves_the_one_before(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = Webhook(settings())
    chain = loaded(webhook)
    other, key = certificate()
    data = {
        "key": {"tls.crt": other.encode(), "tls.key": certificate()[1].encode()},
        "nothing": {},
        "binary": {"tls.crt": b"\xff", "tls.key": key.encode()},
        "garbage": {"tls.crt": b"x", "tls.key": b"y"},
    }[broken]
    webhook.certificate(data)
    assert "stays in use" in caplog.text
    assert webhook.missing() == ""
    async with serving(webhook) as port:
        connection = await connect(port, chain)
        assert await injected(connection)
        connection.close()


async def test_it_is_not_ready_without_a_certificate() -> None:
    webhook = Webhook(settings())
    assert "no certificate" in webhook.missing()
    loaded(webhook)
    assert webhook.missing() == ""
    webhook.end()
    assert webhook.missing() == "it is ending"


async def test_a_body_that_is_too_large_is_refused() -> None:
    webhook = Webhook(settings())
    chain = loaded(webhook)
    async with serving(webhook, Limits(body=100, idle_seconds=60)) as port:
        connection = await connect(port, chain)
        status, _ = await connection.post("/inject", bytes(101))
        assert status == 413
        connection.close()


async def test_a_request_that_is_no_review_is_counted_and_refused() -> None:
    webhook = Webhook(settings())
    chain = loaded(webhook)
    async with serving(webhook) as port:
        connection = await connect(port, chain)
        assert (await connection.post("/inject", b"{}"))[0] == 400
        connection.close()
    assert b'stoq_injections_total{outcome="error",reason="request"} 1.0' in webhook.metrics.page()


@pytest.mark.parametrize(("broken", "result"), [(False, "written"), (True, "failed")])
async def test_the_whole_process_serves_writes_events_and_ends(
    broken: bool, result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stoq_operator.webhook.process.GRACE_SECONDS", 0.01)
    ports = free_port(), free_port()
    where = {
        "STOQ_LISTEN_ADDRESS": f"127.0.0.1:{ports[0]}",
        "STOQ_LISTEN_PAGES": f"127.0.0.1:{ports[1]}",
    }
    cluster, stop = Cluster(broken=broken), asyncio.Event()
    running = asyncio.create_task(serve(read(IMAGES | where), cluster, stop))  # type: ignore[arg-type]
    await _eventually(ports[1], "/healthz/ready", "200 OK")
    client = await asyncio.open_connection("127.0.0.1", ports[0], ssl=_any())
    connection = Connection(*client)
    for _ in range(2):
        await injected(connection)
    event = await asyncio.wait_for(cluster.events.get(), PATIENCE)
    assert event["reason"] == "RefusedByPodSecurity"
    assert cluster.events.empty()  # the second was said already
    await _eventually(ports[1], "/metrics", f'events_total{{result="{result}"}} 1.0')
    assert "live" in await page(ports[1], "/healthz/live", "127.0.0.1")
    connection.close()
    stop.set()
    await asyncio.wait_for(running, PATIENCE)


async def _eventually(port: int, path: str, text: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError):
                if text in await page(port, path, "127.0.0.1"):
                    return
            await asyncio.sleep(0.01)


def _any() -> Any:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
