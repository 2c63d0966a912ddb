"""Keeps the NodeCapability of a node as the agent sees it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from stoq.records.meta import API_VERSION, Condition
from stoq.records.node import NodeCapability, NodeCapabilityStatus
from stoq_kube.apiserver import APPLY, NODE_CAPABILITIES, NODES, ApiError, Client, apply
from stoq_node.report import timed

log: Final = logging.getLogger("stoq.node")

MANAGER: Final = "stoq-node"
"""Owner of what is written."""

LOOK_SECONDS: Final = 2.0
"""Between two looks whether there is something to say."""

AGAIN_SECONDS: Final = 300.0
"""After which it is said again: somebody may have deleted it."""


class Reporter:
    """Writes by server-side apply. The object belongs to its Node, and goes with it."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._problem = ""

    async def run(self, tell: Callable[[], NodeCapabilityStatus]) -> None:
        """Says what `tell` gives, when it differs, until cancelled."""
        loop = asyncio.get_running_loop()
        said: NodeCapabilityStatus | None = None
        due = 0.0
        while True:
            wanted = tell()
            if wanted != said or loop.time() >= due:
                said = wanted if await self.publish(wanted) else None
                due = loop.time() + AGAIN_SECONDS
            await asyncio.sleep(LOOK_SECONDS)

    async def publish(self, wanted: NodeCapabilityStatus) -> bool:
        """Whether the API server took it; why not is logged."""
        try:
            await self._publish(wanted)
        except ApiError as error:
            if str(error) != self._problem:
                log.error("NodeCapability %s is not up to date: %s", self._node, error)
            self._problem = str(error)
            return False
        self._problem = ""
        return True

    async def _publish(self, wanted: NodeCapabilityStatus) -> None:
        node = await self._client.request("get", NODES.path(self._node))
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node}
        base: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": NodeCapability.KIND,
            "metadata": {
                "name": self._node,
                "ownerReferences": [{**owner, "uid": node["metadata"]["uid"]}],
            },
        }
        path = f"{NODE_CAPABILITIES.path(self._node)}?fieldManager={MANAGER}&force=true"
        found = await self._client.request("patch", path, base, media=APPLY)
        before = msgspec.convert(
            (found.get("status") or {}).get("conditions") or (), tuple[Condition, ...]
        )
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        generation = found["metadata"].get("generation", 0)
        full = timed(wanted, before, now, generation)
        body = {**base, "metadata": {"name": self._node}, "status": msgspec.to_builtins(full)}
        await apply(self._client, NODE_CAPABILITIES, body, part="status", manager=MANAGER)
