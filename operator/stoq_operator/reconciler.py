"""Writes what the leader owes the cluster: statuses, trust bundles, the default MeshConfig, events.

What is wanted is computed whole each time and compared with what is there, so nothing is lost with
a replica: the next leader begins with everything.
"""

import asyncio
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from stoq.injection.config import CaptureMode
from stoq.records.cluster import ClusterService, Namespace
from stoq.records.mesh import MeshConfig
from stoq.records.meta import API_VERSION, Key
from stoq.registry import TrustEntry
from stoq_kube.apiserver import CONFIG_MAPS, EVENTS, NAMESPACES, RECORDS, ApiError, Client, apply
from stoq_operator import vip
from stoq_operator.ca import bundle
from stoq_operator.conditions import Rejected, wanted
from stoq_operator.derive import Derived, mesh_of
from stoq_operator.enrolment import (
    default_mesh,
    enrolled,
    event,
    judged_namespaces,
    obstacles,
    trust_maps,
)
from stoq_operator.lease import Election
from stoq_operator.problem import Problem
from stoq_operator.recordvips import written
from stoq_operator.secretroots import NAME as ROOTS
from stoq_operator.secretroots import Verdict
from stoq_operator.world import World

log: Final = logging.getLogger(__name__)

RESYNC: Final = 300.0
"""Seconds after which even what was written is written again: somebody may have deleted it."""

RETRY: Final = 2.0
"""Seconds before what failed is tried again."""

AT_ONCE: Final = 32
"""Requests in flight: each waits while a change to a large mesh is worked out."""


class Reconciler:
    """Runs on every replica and writes on the leader."""

    def __init__(
        self,
        client: Client,
        election: Election,
        namespace: str,
        rejected: Callable[[], Mapping[Key, Rejected]],
        capture: CaptureMode = "init",
    ) -> None:
        """`namespace` is our own, where the bundle is too; `rejected` gives the objects that are no
        records.
        """
        self._client = client
        self._election = election
        self._namespace = namespace
        self._rejected = rejected
        self._capture: CaptureMode = capture
        self._state: tuple[World, Derived] | None = None
        self._bundle = ""
        self._roots = Verdict()
        self._trust_domain = ""
        self._news = asyncio.Event()
        self._applied: dict[str, str] = {}
        self._told: set[str] = set()
        self._limit = asyncio.Semaphore(AT_ONCE)
        election.on_change.append(self._elected)

    def settled(self, world: World, derived: Derived) -> None:
        """The records in force, and what they came to."""
        self._state = (world, derived)
        self._news.set()

    def bundled(self, trust_domain: str, trust: TrustEntry) -> None:
        """Whom newcomers shall trust."""
        self._trust_domain = trust_domain
        self._bundle = bundle(trust_domain, trust).decode()
        self._news.set()

    def roots_judged(self, verdict: Verdict) -> None:
        """What there is to say of the roots' Secret."""
        self._roots = verdict
        self._news.set()

    async def run(self) -> None:
        """Writes until cancelled."""
        patience = RESYNC
        while True:
            try:
                async with asyncio.timeout(patience):
                    await self._news.wait()
            except TimeoutError:
                if patience == RESYNC:
                    self._applied.clear()
            self._news.clear()
            patience = RESYNC
            if self._state is not None and self._election.leads:
                failed = await self._reconcile(*self._state)
                patience = RETRY if failed else RESYNC

    def _elected(self, leads: bool) -> None:  # noqa: FBT001 - the one thing it is told
        if leads:
            self._applied.clear()
        self._news.set()

    async def _reconcile(self, world: World, derived: Derived) -> bool:
        """Returns whether something failed."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rejected = self._rejected()
        work: list[Coroutine[None, None, None]] = []
        if not any(isinstance(record, MeshConfig) for record in world.records.values()):
            work.append(self._create_mesh(world))
        known = written(world)
        try:
            vips = vip.allocate(world.mesh.vip_range, known, known)
        except vip.RangeFull as full:
            vips = full.given
        derived = self._with_roots(world, derived)
        for key, manifest in wanted(world, derived, rejected, vips, now).items():
            # Before there were any roots nothing is in force, and only what they lack is known.
            if self._bundle or (self._roots.problem and key.kind == MeshConfig.KIND):
                work.append(apply(self._client, RECORDS[key.kind], manifest, part="status"))
        if self._bundle:
            maps = trust_maps(sorted({*enrolled(world), self._namespace}), self._bundle)
            uids = {
                key.name: record.metadata.uid
                for key, record in world.records.items()
                if isinstance(record, Namespace)
            }
            work.extend(
                self._apply_once(manifest, uids.get(manifest["metadata"]["namespace"], ""))
                for manifest in maps
            )
        obstructed = obstacles(world, self._capture)
        work.extend(
            apply(self._client, NAMESPACES, manifest, part="status")
            for manifest in judged_namespaces(world, obstructed, now)
        )
        work.extend(self._events(world, {**derived.problems, **obstructed}, now))
        results = await asyncio.gather(*map(self._bounded, work), return_exceptions=True)
        failed = [result for result in results if isinstance(result, Exception)]
        for error in failed:
            if not isinstance(error, ApiError):
                raise error
        for text in sorted({str(error) for error in failed})[:5]:
            log.warning("%s; trying again", text)
        return bool(failed)

    def _events(
        self, world: World, problems: Mapping[Key, Problem], now: str
    ) -> Iterator[Coroutine[None, None, None]]:
        for key, problem in problems.items():
            if key.kind != "Workload":
                record = world.records.get(key)
                uid = record.metadata.uid if record is not None else ""
                yield self._tell(key, uid, problem, now)
        secret = Key("Secret", self._namespace, ROOTS)
        for told in (self._roots.problem, *self._roots.notices):
            if told is not None:
                yield self._tell(secret, self._roots.uid, told, now)

    def _with_roots(self, world: World, derived: Derived) -> Derived:
        """The mesh is not in force while its roots can not be used, whatever else is wrong."""
        config = mesh_of(world.records)
        if config is None or self._roots.problem is None:
            return derived
        problems = {**derived.problems, config.key: self._roots.problem}
        return dataclasses.replace(derived, problems=problems)

    async def _bounded(self, work: Coroutine[None, None, None]) -> None:
        async with self._limit:
            await work

    async def _apply_once(self, manifest: Mapping[str, Any], uid: str) -> None:
        """`uid` is the namespace's: one that is made anew under its name has nothing yet."""
        place = manifest["metadata"]["namespace"]
        digest = hashlib.sha256(uid.encode() + msgspec.json.encode(manifest)).hexdigest()
        if self._applied.get(place) == digest:
            return
        try:
            await apply(self._client, CONFIG_MAPS, manifest)
        except ApiError as error:
            # A namespace on its way out takes nothing new, and needs nothing.
            if not (error.missing or "because it is being terminated" in str(error)):
                raise
        self._applied[place] = digest

    async def _create_mesh(self, world: World) -> None:
        services = [item for item in world.records.values() if isinstance(item, ClusterService)]
        manifest = default_mesh(world.mesh, services)
        try:
            await self._client.request("post", RECORDS["MeshConfig"].path(""), manifest)
            log.info("made MeshConfig default: %s", manifest["spec"])
        except ApiError as error:
            if not error.conflict:
                raise

    async def _tell(self, key: Key, uid: str, problem: Problem, now: str) -> None:
        """An Event, once: its name is made of what it says. `uid` is that of the object."""
        digest = hashlib.sha256("|".join((str(key), uid, *problem)).encode()).hexdigest()[:16]
        name = f"{key.name[:200]}.{digest}"
        if name in self._told:
            return
        version = "v1" if key.kind in {"Namespace", "Secret", "Service"} else API_VERSION
        body = event(key, uid, version, problem, name, now)
        try:
            await self._client.request("post", EVENTS.path("", body["metadata"]["namespace"]), body)
        except ApiError as error:
            if not error.conflict:
                raise
        self._told.add(name)
