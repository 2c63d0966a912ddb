"""Pods of a node as the API server knows them, with the links that they are behind.

While the API server is away nothing comes, and the last state stays in force.
"""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from stoq.capture.plan import Address
from stoq.records.manifest import decode
from stoq.records.mesh import MeshConfig
from stoq.records.meta import API_VERSION, Record
from stoq.records.policy import TransportPolicy
from stoq_kube.apiserver import PODS, RECORDS, Client
from stoq_kube.meta import Raw
from stoq_node import links, routes
from stoq_node.captures import Placed
from stoq_node.enrolment import Meshed, Surround, claimed, enrolled, meshed
from stoq_node.objects import Objects
from stoq_node.placing import Nowhere, Surroundings, place
from stoq_node.pods import Pod

log: Final = logging.getLogger("stoq.node")

LOOK_SECONDS: Final = 0.2
"""Between two looks for links that are not known yet."""

REST_SECONDS: Final = 1.0
"""Between two looks whether the links that are known are still there."""

PATIENCE: Final = 10.0
"""Seconds that a pod's link may stay unknown after its addresses are known: network plugins are
slower than that only when something is wrong."""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Network:
    """The node's; tests have their own."""

    look: Callable[[Iterable[Address]], Surroundings] = routes.look
    seek: Callable[[Iterable[tuple[Address, int]]], None] = routes.seek
    names: Callable[[], dict[str, int]] = links.names


class ClusterPods:
    """See `pods.Source`. `run` must run beside."""

    def __init__(
        self,
        client: Client,
        node: str,
        around: Surround,
        network: Network | None = None,
        placed: Callable[[Iterable[Placed], Surround], None] | None = None,
    ) -> None:
        """`around` is what holds until configuration and policies are read: those are followed.
        `placed` is told which pods are at which links, again and again.
        """
        self._client = client
        self._node = node
        self._around = around
        self._network = network or Network()
        self._placed = placed
        self._news = asyncio.Event()
        self._pods = Objects(PODS, meshed)
        self._meshes = Objects(RECORDS["MeshConfig"], _reader(MeshConfig))
        self._policies = Objects(RECORDS["TransportPolicy"], _reader(TransportPolicy))
        self._places: dict[str, tuple[str, int]] = {}
        self._since: dict[str, float] = {}
        self._why: dict[str, str] = {}

    @property
    def problem(self) -> str:
        """See `Source.problem`."""
        kinds = (self._pods, self._meshes, self._policies)
        return "; ".join(kind.problem for kind in kinds if kind.problem)

    async def run(self) -> None:
        """Reads the watches until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pods.follow(self._client, self._news, node=self._node))
            tasks.create_task(self._meshes.follow(self._client, self._news))
            tasks.create_task(self._policies.follow(self._client, self._news))

    async def watch(self) -> AsyncIterator[tuple[Pod, ...]]:
        """See `Source.watch`."""
        loop = asyncio.get_running_loop()
        last: tuple[Pod, ...] | None = None
        while True:
            rest = LOOK_SECONDS if self._why else REST_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), rest)
            self._news.clear()
            if not (self._pods.complete and self._meshes.complete and self._policies.complete):
                continue
            pods = self._current(loop.time())
            if pods != last:
                last = pods
                yield pods

    def _current(self, now: float) -> tuple[Pod, ...]:
        known = {pod.uid: pod for pod in self._pods.by_key.values()}
        try:
            self._locate(known)
        except OSError as error:
            log.error("the node's links cannot be read: %s; it is tried again", error)
        self._since = {uid: self._since.get(uid, now) for uid in self._why if known[uid].addresses}
        owners = claimed((known[uid], name) for uid, (name, _) in self._places.items())
        around = self._surround()
        if self._placed is not None:
            own = ((uid, *self._places[uid]) for uid in owners.values())
            self._placed([Placed(known[uid], index) for uid, _, index in own], around)
        found = []
        for uid, pod in known.items():
            interface = self._places.get(uid, ("", 0))[0]
            if owners.get(interface) == uid:
                found.append(enrolled(pod, around, interface))
            elif pod.on_host:
                found.append(enrolled(pod, around, ""))
            elif not interface:
                late = uid in self._since and now - self._since[uid] > PATIENCE
                found.append(enrolled(pod, around, "", self._why.get(uid, "") if late else ""))
        return tuple(sorted(found, key=lambda pod: (pod.namespace, pod.name)))

    def _locate(self, known: dict[str, Meshed]) -> None:
        """Finds the links of pods that have none, or whose link is gone. One that is found stays
        the pod's for as long as it is there: what a bridge has learnt, it forgets.
        """
        there = self._network.names()
        self._places = {
            uid: (name, index)
            for uid, (name, index) in self._places.items()
            if uid in known and there.get(name) == index
        }
        lost = {
            uid: pod for uid, pod in known.items() if uid not in self._places and not pod.on_host
        }
        self._why = dict.fromkeys(lost, "it has no address yet")
        looked_for = {uid: pod for uid, pod in lost.items() if pod.addresses}
        if not looked_for:
            return
        around = self._network.look(
            address for pod in looked_for.values() for address in pod.addresses
        )
        for uid, pod in looked_for.items():
            found = place(pod.addresses, around)
            if isinstance(found, Nowhere):
                self._why[uid] = found.why
                if found.ask:
                    self._network.seek(found.ask)
            else:
                self._places[uid] = (found.name, found.index)
                del self._why[uid]

    def _surround(self) -> Surround:
        meshes = [record for _, record in sorted(self._meshes.by_key.items())]
        policies = tuple(record for _, record in sorted(self._policies.by_key.items()))
        # Without a MeshConfig the last one holds: it was deleted, and the operator makes another.
        mesh = meshes[0].spec if meshes else self._around.mesh
        self._around = dataclasses.replace(self._around, mesh=mesh, policies=policies)
        return self._around


def _reader(kind: type[R]) -> Callable[[Raw], R]:
    def read(raw: Raw) -> R:
        # A list of the API server does not repeat what its items are.
        found = decode({**raw, "apiVersion": API_VERSION, "kind": kind.KIND})
        if not isinstance(found, kind):
            raise TypeError(f"{found.KIND} is no {kind.KIND}")
        return found

    return read
