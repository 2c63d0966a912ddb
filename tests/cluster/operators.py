"""Operators in the test's own event loop, against the API server of the cluster under test."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from cluster.access import Cluster, Failed
from lab.ports import free_port
from stoq.api.errors import Unavailable
from stoq.constants import operator_spiffe_id
from stoq.engine import Engine, EngineSettings, TlsContext
from stoq.pem import certificates
from stoq_operator.clustersettings import ClusterSettings, read
from stoq_operator.oncluster import serve
from support.control import Member
from support.pages import page_if_up

CRDS = Path(__file__).resolve().parents[2] / "crds"

TRUST_DOMAIN = "cluster.local"


class Operator:
    """One replica, with its state in `namespace`."""

    def __init__(self, namespace: str, identity: str) -> None:
        self.stop = asyncio.Event()
        self.address = f"[::1]:{free_port()}"
        self.metrics = f"[::1]:{free_port()}"
        self.settings: ClusterSettings = read(
            {
                "STOQ_KUBERNETES_NAMESPACE": namespace,
                "STOQ_KUBERNETES_IDENTITY": identity,
                "STOQ_LISTEN_ADDRESS": self.address,
                "STOQ_LISTEN_METRICS": self.metrics,
            }
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Operator"]:
        """From ready to stopped."""
        task = asyncio.create_task(serve(self.settings, self.stop))
        try:
            await eventually(self.ready, task)
            yield self
        finally:
            self.stop.set()
            await task

    async def ready(self) -> bool:
        return (await self.page("/healthz/ready"))[:6] == "200 OK"

    async def metric(self, name: str) -> float:
        page = await self.page("/metrics")
        return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))

    async def page(self, path: str) -> str:
        return await page_if_up(int(self.metrics.rpartition(":")[2]), path)

    @asynccontextmanager
    async def member(self, bundle: str) -> AsyncIterator[Member]:
        """A sidecar's engine that trusts `bundle` and has no identity yet."""
        tls = TlsContext()
        tls.set_trust(TRUST_DOMAIN, list(certificates(bundle)))
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(Engine(EngineSettings(workers=1), tls))
            yield Member(engine, tls, self.address, operator=operator_spiffe_id(TRUST_DOMAIN))


async def eventually(
    ask: Callable[[], Awaitable[object]], beside: asyncio.Task[None] | None = None
) -> Any:
    """Waits for something true, 90 seconds at most, while `beside` runs; returns it."""
    async with asyncio.timeout(90):
        while not (found := await ask()):
            if beside is not None and beside.done():
                beside.result()
            await asyncio.sleep(0.1)
    return found


async def kubectl(cluster: Cluster, *arguments: str, stdin: str | None = None) -> str:
    """As `Cluster.kubectl`, without stopping the operators meanwhile."""
    return await asyncio.to_thread(cluster.kubectl, *arguments, stdin=stdin)


async def status(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    """The status of an object; empty while there is none."""
    found = await asyncio.to_thread(cluster.get, kind, name)
    return found.get("status") or {}


async def condition(cluster: Cluster, kind: str, name: str, type_: str) -> dict[str, Any]:
    """A condition of an object; empty while there is none."""
    found = await status(cluster, kind, name)
    items = found.get("conditions") or []
    return next((item for item in items if item["type"] == type_), {})


async def secret(cluster: Cluster, name: str) -> dict[str, bytes]:
    """The content of a Secret; empty while there is none."""
    try:
        found = await asyncio.to_thread(cluster.get, "secret", name)
    except Failed:
        return {}
    return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}


async def put(cluster: Cluster, *objects: dict[str, Any]) -> None:
    await asyncio.to_thread(cluster.apply, *objects)


def pod(name: str) -> dict[str, Any]:
    """A pod that says it is meshed and holds a token for us; what runs in it does nothing."""
    container = {
        "image": "localhost/busybox:local",
        "imagePullPolicy": "Never",
        "command": ["sleep", "3600"],
    }
    own = {
        **container,
        "name": "stoq-sidecar",
        "volumeMounts": [{"name": "token", "mountPath": "/token"}],
    }
    source = {"serviceAccountToken": {"audience": "stoq.dev", "path": "token"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{**container, "name": "app"}, own],
            "volumes": [{"name": "token", "projected": {"sources": [source]}}],
        },
    }


async def bundle(cluster: Cluster) -> str:
    await kubectl(
        cluster, "label", "namespace", cluster.namespace, "stoq.dev/inject=enabled", "--overwrite"
    )

    async def written() -> str:
        found = await kubectl(
            cluster, "get", "configmap", "stoq-trust", "--ignore-not-found", "-ojson"
        )
        return json.loads(found)["data"]["bundle.pem"] if found else ""

    return str(await eventually(written))


async def token(cluster: Cluster, name: str) -> str:
    await asyncio.to_thread(cluster.ready, name)
    return (
        await kubectl(cluster, "exec", name, "-c", "stoq-sidecar", "--", "cat", "/token/token")
    ).strip()


async def joined(member, held: str):
    """The pod may be ahead of the operator's watch."""
    for _ in range(300):
        try:
            return await member.join(held)
        except Unavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("the pod was never known")
