"""The agent with a client of Kubernetes, over HTTP: what it asks for, and what it writes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from stoq_kube.apiserver import ApiError
from stoq_node.kube import Cluster
from stoq_node.report import status
from stoq_node.settings import read
from support.patience import PATIENCE
from unit.stoq_node.cluster import on_node
from unit.stoq_node.test_report import GOOD

SETTINGS = read({"STOQ_KUBERNETES_NODE": "node-1"})
LISTS: dict[str, list[dict[str, Any]]] = {
    "/api/v1/pods": [on_node("web-0")],
    "/apis/stoq.dev/v1alpha1/meshconfigs": [
        {"metadata": {"name": "default"}, "spec": {"trustDomain": "x.test", "inbound": "strict"}}
    ],
    "/apis/stoq.dev/v1alpha1/transportpolicies": [],
}


class Api:
    """Lists, watches that bring nothing, and patches, which are kept."""

    def __init__(self) -> None:
        self.selectors: dict[str, set[str]] = {}
        self.patches: list[tuple[str, str, dict[str, Any]]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "PATCH":
            body = json.loads(await request.text())
            self.patches.append((request.path, request.content_type, body))
            return web.json_response({"metadata": {"generation": 1}})
        if request.path == "/api/v1/nodes/node-1":
            return web.json_response({"metadata": {"uid": "uid-1"}})
        asked = request.query.get("fieldSelector", "")
        self.selectors.setdefault(request.path, set()).add(asked)
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await asyncio.sleep(60)
            return stream
        version = {"resourceVersion": "1"}
        return web.json_response({"metadata": version, "items": LISTS[request.path]})


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def kubeconfig(path: Path, server: str) -> str:
    parts = {
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    path.write_text(yaml.safe_dump({**parts, "current-context": "x"}))
    return str(path)


async def test_it_follows_the_pods_of_its_node_alone_and_writes_what_the_node_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api()
    async with serving(api) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", server))
        cluster = Cluster(SETTINGS.kubernetes, SETTINGS.capture)
        running = [asyncio.create_task(part) for part in cluster.parts()]
        (web_0,) = await asyncio.wait_for(anext(cluster.pods.watch()), PATIENCE)
        assert (web_0.key, web_0.inbound) == ("shop/web-0", "strict")
        assert api.selectors["/api/v1/pods"] == {"spec.nodeName=node-1"}
        assert api.selectors["/apis/stoq.dev/v1alpha1/meshconfigs"] == {""}
        assert await cluster.reporter.publish(status(GOOD))
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await cluster.close()
    path = "/apis/stoq.dev/v1alpha1/nodecapabilities/node-1"
    assert [(where, media) for where, media, _ in api.patches] == [
        (path, "application/apply-patch+yaml"),
        (f"{path}/status", "application/apply-patch+yaml"),
    ]


def test_without_an_api_server_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ApiError, match="KUBECONFIG"):
        Cluster(SETTINGS.kubernetes, SETTINGS.capture)
