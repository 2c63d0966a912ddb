"""Starts pods and reads what kubelets say of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchlib.errors import BenchError
from benchlib.podstart.settings import Settings
from benchlib.scale.api import Api, connected
from benchlib.scale.objects import Object

PLAIN: Final = "stoq-bench-plain"
MESHED: Final = "stoq-bench-meshed"

IMAGE: Final = "localhost/busybox:local"

POLL: Final = 0.02
"""Seconds between looks at a pod that starts: how exact the figures are."""

PATIENCE: Final = 60.0
"""Seconds in which anything must have happened."""

SETTLED: Final = 20.0
"""Seconds after the last start, so that nothing of it is left in the idle figures."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a container, as its kubelet says."""

    at: float
    """Unix seconds of the reading."""
    cpu: float
    """Seconds used since it began."""
    rss: float
    """Bytes, without pages of files."""


@dataclass(frozen=True, slots=True)
class Found:
    """All that was measured."""

    starts: dict[str, list[float]]
    """Seconds from request to ready of each pod, by namespace."""
    idle: list[tuple[Usage, Usage]]
    """Of each sidecar, before and after a time in which nothing happened."""


async def run(settings: Settings, kubeconfig: Path) -> Found:
    """Measures. Raises BenchError."""
    async with connected(kubeconfig) as api, _namespaces(api):
        starts: dict[str, list[float]] = {PLAIN: [], MESHED: []}
        # The first of each finds nothing in any cache, and is not counted.
        for number in range(settings.pods + 1):
            for namespace, seconds in starts.items():
                taken = await _start(api, namespace, f"pod-{number}")
                if number:
                    seconds.append(taken)
        await asyncio.sleep(SETTLED)
        before = await _sidecars(api)
        await asyncio.sleep(settings.seconds)
        after = await _sidecars(api)
        return Found(starts, [(before[name], after[name]) for name in before])


@asynccontextmanager
async def _namespaces(api: Api) -> AsyncIterator[None]:
    made = [_namespace(PLAIN, {}), _namespace(MESHED, {"stoq.dev/inject": "enabled"})]
    try:
        for each in made:
            await api.create(each)
        bundle = f"/api/v1/namespaces/{MESHED}/configmaps/stoq-trust"
        await _until(lambda: _there(api, bundle), "the mesh's bundle: is the mesh installed?")
        for name in (PLAIN, MESHED):
            account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            await _until(lambda account=account: _there(api, account), "the service account")
        yield
    finally:
        for each in made:
            await api.delete(each)


def _namespace(name: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


async def _start(api: Api, namespace: str, name: str) -> float:
    """Seconds until the pod is ready."""
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sleep", "100000"],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    began = time.monotonic()
    await api.create(pod)

    async def ready() -> bool:
        found = await api.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        conditions = found["status"].get("conditions", ())
        return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)

    await _until(ready, f"pod {namespace}/{name}")
    return time.monotonic() - began


async def _sidecars(api: Api) -> dict[str, Usage]:
    """What the sidecars of the pods have used, by pod."""
    nodes = await api.request("GET", "/api/v1/nodes")
    found: dict[str, Usage] = {}
    for node in nodes["items"]:
        name = node["metadata"]["name"]
        summary = await api.request("GET", f"/api/v1/nodes/{name}/proxy/stats/summary")
        for pod in summary["pods"]:
            if pod["podRef"]["namespace"] != MESHED:
                continue
            for each in pod.get("containers", ()):
                if each["name"] == "stoq-sidecar":
                    found[pod["podRef"]["name"]] = _usage(each)
    if not found:
        raise BenchError("no kubelet says what the sidecars use")
    return found


def _usage(container: dict[str, Any]) -> Usage:
    cpu = container["cpu"]
    return Usage(
        at=datetime.fromisoformat(cpu["time"]).timestamp(),
        cpu=cpu["usageCoreNanoSeconds"] / 1e9,
        rss=container["memory"]["rssBytes"],
    )


async def _there(api: Api, where: str) -> bool:
    try:
        await api.request("GET", where)
    except BenchError as error:
        if ": 404 " not in str(error):
            raise
        return False
    return True


async def _until(asked: Any, what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not await asked():  # noqa: ASYNC110 - what is asked is elsewhere
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise BenchError(f"not within {PATIENCE:g} s: {what}") from None
