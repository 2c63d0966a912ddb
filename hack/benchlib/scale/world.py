"""The cluster's part: makes the objects, keeps them alive, and takes them away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yaml

from benchlib.errors import BenchError
from benchlib.scale import objects
from benchlib.scale.api import Api
from benchlib.scale.objects import Object
from benchlib.scale.progress import say
from benchlib.scale.protocol import Member

CRDS: Final = Path(__file__).resolve().parents[3] / "crds"

HEARTBEAT: Final = 10.0
"""Seconds between signs of life of the simulated nodes."""

PATIENCE: Final = 120.0
"""Seconds in which the cluster does what it is told."""


class World:
    """The simulated workloads and records of one cluster."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._pods: list[Object] = []
        self._nodes: set[str] = set()
        self._accounts: set[str] = set()

    async def prepare(self) -> None:
        """Definitions and namespaces. Raises BenchError in a cluster that has an operator."""
        if await self._there(objects.SYSTEM):
            raise BenchError(
                f"namespace {objects.SYSTEM} is there already: measure in a cluster of its own"
            )
        for file in sorted(CRDS.glob("*.yaml")):
            await self.api.apply(yaml.safe_load(file.read_text()))
        for item in (
            objects.namespace(objects.SYSTEM),
            objects.namespace(objects.NAMESPACE),
            objects.namespace(objects.ENROLLED, enrolled=True),
        ):
            await self.api.apply(item)

    async def grow(self, pods: int) -> None:
        """Ready pods up to so many."""
        await self._add_nodes(pods)
        await self._add_accounts(pods)
        made: dict[int, Object] = {}

        async def make(number: int) -> None:
            made[number] = await self.start(number, ready=True)

        await self.api.each("pods", range(len(self._pods), pods), make)
        self._pods += [made[number] for number in sorted(made)]

    async def start(self, number: int, *, ready: bool, label: str = "") -> Object:
        """One pod that runs."""
        await self._add_nodes(number + 1)
        await self._add_accounts(number + 1)
        labels = {"late": label} if label else None
        found: Object = await self.api.create(objects.pod(number, labels=labels))
        await self.set_ready(number, found, ready=ready)
        return found

    async def set_ready(self, number: int, pod: Object, *, ready: bool) -> None:
        """As a kubelet would say."""
        pod = {"kind": "Pod", "metadata": pod["metadata"]}
        await self.api.merge(pod, objects.pod_status(number, _now(), ready=ready), "status")

    async def members(self, first: int, last: int) -> list[Member]:
        """Of these pods, with tokens that the API server made."""
        found: dict[int, Member] = {}
        accounts = f"/api/v1/namespaces/{objects.NAMESPACE}/serviceaccounts"

        async def ask(number: int) -> None:
            pod = self._pods[number]
            account = f"{accounts}/{pod['spec']['serviceAccountName']}/token"
            answer = await self.api.request("POST", account, objects.token_request(pod))
            name = f"{objects.NAMESPACE}/{pod['metadata']['name']}"
            found[number] = Member(name, answer["status"]["token"])

        await self.api.each("tokens", range(first, last), ask)
        return [found[number] for number in sorted(found)]

    async def add_records(self, count: int) -> None:
        """So many records, with two endpoints each."""

        async def make(number: int) -> None:
            ends = [objects.address(number % max(1, len(self._pods)) + at) for at in (0, 1)]
            await self.api.create(objects.record(f"record-{number:05d}", *ends))

        await self.api.each("records", range(count), make)

    async def bundle(self) -> str:
        """The roots that the operator publishes for the pods."""
        place = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps/stoq-trust"
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(BenchError):
                    return str((await self.api.request("GET", place))["data"]["bundle.pem"])
                await asyncio.sleep(0.2)

    async def _add_nodes(self, pods: int) -> None:
        fresh = [n for n in objects.nodes(pods) if n["metadata"]["name"] not in self._nodes]
        for node in fresh:
            self._nodes.add(node["metadata"]["name"])
            await self.api.apply(node)
        await self._beat(node["metadata"]["name"] for node in fresh)

    async def _add_accounts(self, pods: int) -> None:
        for account in objects.accounts(pods):
            if account["metadata"]["name"] not in self._accounts:
                self._accounts.add(account["metadata"]["name"])
                await self.api.apply(account)

    async def live(self) -> None:
        """Keeps the nodes alive until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self._beat(tuple(self._nodes))

    async def _beat(self, nodes: Iterable[str]) -> None:
        now = _now()
        for name in nodes:
            await self.api.apply(objects.heartbeat(name, now))
            node = {"kind": "Node", "metadata": {"name": name}}
            await self.api.merge(node, objects.node_status(now), "status")

    async def clean(self) -> None:
        """Removes everything."""
        say("removing what was made")
        for name in (objects.NAMESPACE, objects.ENROLLED):
            place = f"/namespaces/{name}"
            for kind in ("api/v1", "pods"), ("apis/stoq.dev/v1alpha1", "servicerecords"):
                with suppress(BenchError):
                    await self.api.request(
                        "DELETE", f"/{kind[0]}{place}/{kind[1]}?gracePeriodSeconds=0"
                    )
            await self.api.delete(objects.namespace(name))
        for item in (*objects.webhook("::", 1)[::-1], *objects.nodes(20_000)):
            if item["kind"] != "Node" or item["metadata"]["name"] in self._nodes:
                await self.api.delete(item)
        await self._delete_leftovers()
        end = time.monotonic() + PATIENCE
        for name in (objects.NAMESPACE, objects.SYSTEM):
            while await self._there(name) and time.monotonic() < end:  # noqa: ASYNC110
                await asyncio.sleep(0.5)

    async def _delete_leftovers(self) -> None:
        """What the operator made; it does not run any more."""
        await self.api.delete(objects.namespace(objects.SYSTEM))
        with suppress(BenchError):
            await self.api.request("DELETE", "/apis/stoq.dev/v1alpha1/meshconfigs/default")

    async def _there(self, name: str) -> bool:
        try:
            await self.api.request("GET", f"/api/v1/namespaces/{name}")
        except BenchError:
            return False
        return True


@asynccontextmanager
async def prepared(api: Api) -> AsyncIterator[World]:
    """A cluster ready for simulated workloads, and clean afterwards."""
    world = World(api)
    await world.prepare()
    living = asyncio.create_task(world.live())
    try:
        yield world
    finally:
        living.cancel()
        await world.clean()


def server_address(kubeconfig: Path) -> str:
    """The API server's IPv6 address. Raises BenchError."""
    server = str(json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    address, bracket, _ = server.removeprefix("https://[").partition("]")
    if not bracket:
        raise BenchError(f"the API server is {server}: use a cluster with --ip-family ipv6")
    return address


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
