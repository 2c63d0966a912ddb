"""The client of the API server, over HTTP: what a watch says of lists and of gaps."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stoq_kube.apiserver import PODS, Changed, Deleted, Event, Listed
from stoq_kube.kube import ApiServer

Object = dict[str, Any]


def pod(name: str, version: int) -> Object:
    return {"metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)}}


class Pods:
    """Answers lists with `there`, page by page, and watches with what is told."""

    def __init__(self) -> None:
        self.there: list[Object] = []
        self.pages: list[int] = []
        """Objects of each page that was asked for."""
        self.lost: list[Object] | None = None
        """Every second page is lost with its connection until a list begins anew, which is this."""
        self._told: asyncio.Queue[Object] = asyncio.Queue()

    def tell(self, kind: str, item: Object) -> None:
        self._told.put_nowait({"type": kind, "object": item})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return self._page(request)
        response = web.StreamResponse()
        await response.prepare(request)
        # Until the client leaves, or is told of a gap, after which it lists anew.
        with suppress(ConnectionResetError):
            while True:
                told = await self._told.get()
                await response.write(json.dumps(told).encode() + b"\n")
        return response

    def _page(self, request: web.Request) -> web.Response:
        first = int(request.query.get("continue", 0))
        last = first + int(request.query["limit"])
        if first and self.lost is not None:
            assert request.transport is not None
            request.transport.abort()
        elif self.pages and self.lost is not None:
            self.there, self.lost = self.lost, None
        found = {"resourceVersion": "1", "continue": str(last) if last < len(self.there) else ""}
        self.pages.append(len(self.there[first:last]))
        return web.json_response({"metadata": found, "items": self.there[first:last]})


@pytest.fixture
async def pods() -> Pods:
    return Pods()


@asynccontextmanager
async def watching(
    pods: Pods, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncIterator[Event]]:
    application = web.Application()
    application.router.add_get("/api/v1/pods", pods.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "::1", 0)
    await site.start()
    server = f"http://[::1]:{runner.addresses[0][1]}"
    config = folder / "kubeconfig"
    named = {"name": "here"}
    config.write_text(
        json.dumps(
            {
                "current-context": "here",
                "contexts": [{**named, "context": {"cluster": "here", "user": "here"}}],
                "clusters": [{**named, "cluster": {"server": server}}],
                "users": [{**named, "user": {"token": "none"}}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    client = ApiServer()
    events = client.watch(PODS)
    try:
        async with asyncio.timeout(60):
            yield events
    finally:
        await events.aclose()  # type: ignore[attr-defined]  # an async generator
        await client.close()
        await runner.cleanup()


async def names(events: AsyncIterator[Event]) -> tuple[list[str], set[tuple[str, str]]]:
    """Of the objects until a list is complete, and of the list."""
    came = []
    async for event in events:
        if isinstance(event, Listed):
            return came, set(event.there)
        came.append(event.object["metadata"]["name"])
    raise AssertionError("the watch has ended")


async def test_a_list_after_a_gap_names_what_is_there_and_nothing_that_came_meanwhile(
    pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods.there = [pod("db-0", 1), pod("web-0", 1)]
    async with watching(pods, tmp_path, monkeypatch) as events:
        assert await names(events) == (["db-0", "web-0"], {("shop", "db-0"), ("shop", "web-0")})
        pods.tell("ADDED", pod("web-1", 2))
        pods.tell("DELETED", pod("web-0", 3))
        assert await anext(events) == Changed(pod("web-1", 2))
        assert await anext(events) == Deleted(pod("web-0", 3))
        pods.there = [pod("db-0", 1)]
        pods.tell("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
        assert await names(events) == (["db-0"], {("shop", "db-0")})
        assert pods.pages == [2, 1]


async def test_a_list_of_nothing_is_one(
    pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(pods, tmp_path, monkeypatch) as events:
        assert await names(events) == ([], set())
        pods.tell("ADDED", pod("web-0", 2))
        assert await anext(events) == Changed(pod("web-0", 2))


async def test_a_long_list_comes_in_pages(
    pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods.there = [pod(f"web-{number:04d}", 1) for number in range(1200)]
    async with watching(pods, tmp_path, monkeypatch) as events:
        came, there = await names(events)
    assert came == [item["metadata"]["name"] for item in pods.there]
    assert there == {("shop", name) for name in came}
    assert pods.pages == [500, 500, 200]


async def test_a_list_that_had_to_begin_anew_names_nothing_of_its_first_pages(
    pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods.there = [pod(f"web-{number:04d}", 1) for number in range(1200)]
    pods.lost = [pod(f"web-{number:04d}", 1) for number in range(400, 700)]
    async with watching(pods, tmp_path, monkeypatch) as events:
        came, there = await names(events)
    assert len(came) == 500 + 300
    assert there == {("shop", f"web-{number:04d}") for number in range(400, 700)}
