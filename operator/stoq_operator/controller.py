"""Holds the parts together: what the store says goes to the registry, the CA's trust to everyone.

Every change runs to its end before the next one is looked at, so all that watchers see belongs
together. Only the roots, which may be kept elsewhere, are waited for.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec

from stoq.constants import operator_spiffe_id
from stoq.records.mesh import MeshConfigSpec
from stoq.records.meta import Key
from stoq.records.service import ServiceRecord
from stoq.registry import TrustEntry
from stoq_operator.ca import Ca
from stoq_operator.derive import Derived, derive
from stoq_operator.kept import (
    Admission,
    Grant,
    Revoked,
    RootsRefused,
    RootStore,
    StateError,
    Vips,
)
from stoq_operator.memo import Memo
from stoq_operator.metrics import Metrics
from stoq_operator.problem import Problem
from stoq_operator.registry import Registry
from stoq_operator.store import Batch, Store, fold
from stoq_operator.vip import RangeFull
from stoq_operator.world import World, world

log: Final = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between looks at the clock: expiries, rotation, the own SVID."""

OWN_UID: Final = "stoq-system/stoq-operator"
"""The control process among the workloads that have certificates."""


class Endpoint(Protocol):
    """The control process's own STOQ endpoint."""

    def new_key(self) -> bytes:
        """Makes the next key pair and returns a CSR for it, DER."""

    def install(self, certificate: bytes) -> None:
        """Uses the last made key pair with `certificate` (DER) for handshakes to come."""

    def trust(self, trust: TrustEntry) -> None:
        """Trusts exactly these; live connections of the revoked are closed."""


class Controller:
    """Keeps registry, trust and own identity in step with the store and the clock."""

    def __init__(
        self,
        *,
        store: Store,
        batches: AsyncIterator[Batch],
        roots: RootStore,
        vips: Vips,
        admission: Admission,
        ca: Ca,
        registry: Registry,
        endpoint: Endpoint,
        metrics: Metrics,
        fixed: MeshConfigSpec,
        first: Batch,
        bundle: Callable[[TrustEntry], None],
    ) -> None:
        """`first` is the store's first batch and `batches` brings the ones after it; `fixed` holds
        trust domain and profile; `bundle` is told whom newcomers shall trust.
        """
        self._store = store
        self._batches = batches
        self._roots = roots
        self._vips = vips
        self._ca = ca
        self._registry = registry
        self._endpoint = endpoint
        self._metrics = metrics
        self._bundle = bundle
        self._fixed = fixed
        self._admission = admission
        self._world = world(fold({}, first), fixed)
        self._derived = Derived()
        self._memo = Memo()
        self._reported: dict[Key, Problem] = {}
        self._trust: TrustEntry | None = None
        self._bundled: tuple[bytes, ...] = ()
        self._renew_at = 0.0
        self._begins = 0
        self._own = Grant(uid=OWN_UID, spiffe_id=operator_spiffe_id(fixed.trust_domain))
        self.ready = asyncio.Event()
        """Set once records and identity are in force."""
        self.on_settled: list[Callable[[World, Derived], None]] = []
        """Called with the records in force, and what they came to, after every change."""

    @property
    def world(self) -> World:
        """The records in force."""
        return self._world

    async def start(self) -> None:
        """Tells of the first records, and puts them, trust and identity in force if there is a
        root. Without one `run` does, once somebody has made or mended it. Raises `StateError`.
        """
        self._settle()
        await self.tick(time.time())

    async def run(self) -> None:
        """Follows the store and the clock until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._tick_for_ever())

    async def tick(self, now: float) -> None:
        """What time alone changes: rotation, expiry, the own SVID. Raises `StateError`."""
        ttl = self._world.mesh.svid_ttl_seconds
        rotated = self._use_roots(int(now))
        if self._roots.leads:
            wanted = self._roots.rotation_wanted
            advanced = self._ca.advanced(int(now), ttl, wanted=wanted)
            if wanted or advanced != self._roots.roots:
                await self._roots.keep(advanced)
                rotated = self._use_roots(int(now)) or rotated
        if rotated:
            self._metrics.roots(
                {(root.name, root.phase.value): root.expires for root in self._ca.roots}
            )
        self._metrics.problems(len(self._store.health.problems) + len(self._reported))
        if not self._ca.signs(int(now)):
            return
        self._admission.tidy(now)
        revoked = self._begins < self._revoked(now).since(self._own.spiffe_id)
        if rotated or revoked or now >= self._renew_at:
            self._renew(now)
        trust = self.refresh_trust()
        if not self.ready.is_set():
            self.ready.set()
            self._registry.update(self._derived, trust)

    def _use_roots(self, now: int) -> bool:
        """Whether others are in force than before. Roots that can not be leave everything as it is:
        who has them is told why, and mends them.
        """
        try:
            changed = self._ca.use(self._roots.roots, now)
        except RootsRefused as refused:
            self._roots.judged(refused.problem)
            return False
        self._roots.judged(None, self._ca.notices(now))
        return changed

    def refresh_trust(self) -> TrustEntry:
        """Hands the trust on where it changed; returns it."""
        trust = msgspec.structs.replace(
            self._ca.trust(self._revoked(time.time())), federated=self._derived.federation.domains
        )
        if trust.roots != self._bundled:
            self._write_bundle(trust)
        if trust != self._trust:
            self._trust = trust
            self._metrics.revoked(len(trust.revoked) + len(trust.revoked_identities))
            self._endpoint.trust(trust)
            if self.ready.is_set():
                self._registry.update(self._derived, trust)
        return trust

    def _revoked(self, now: float) -> Revoked:
        return self._admission.revoked(self._world.revocations, now)

    def _write_bundle(self, trust: TrustEntry) -> None:
        """A bundle that can not be written stops nobody; the next tick tries again."""
        try:
            self._bundle(trust)
        except StateError as error:
            if not self.ready.is_set():
                raise
            log.error("%s; new sidecars can not join by it", error)
        else:
            self._bundled = trust.roots

    async def _follow(self) -> None:
        async for batch in self._batches:
            self._world = world(fold(self._world.records, batch), self._fixed)
            self._settle()

    def _settle(self) -> None:
        """Puts the records of `world` in force."""
        problems: dict[Key, Problem] = {}
        try:
            vips = self._vips.of(self._world)
        except RangeFull as full:
            vips = full.given
            problems = _without_address(self._world, full)
        derived = derive(self._world.records, self._world.mesh, vips, self._memo)
        problems.update(derived.problems)
        self._derived = dataclasses.replace(derived, problems=problems)
        self._report(problems)
        if self.ready.is_set():
            self._registry.update(self._derived, self.refresh_trust())
        for told in self.on_settled:
            told(self._world, self._derived)

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK if self.ready.is_set() else TICK / 4)
            try:
                await self.tick(time.time())
            except StateError as error:
                log.error("%s; trying again", error)

    def _renew(self, now: float) -> None:
        ttl = self._world.mesh.svid_ttl_seconds
        own = self._own.spiffe_id
        svid = self._ca.sign(
            self._endpoint.new_key(), own, ttl, int(now), since=self._revoked(now).since(own)
        )
        self._admission.signed(self._own, svid.serial, int(now), svid.expires)
        # The renewals continue the first certificate's chain.
        self._own = msgspec.structs.replace(self._own, chain=self._own.chain or svid.serial)
        self._endpoint.install(svid.certificate)
        self._begins = svid.begins
        self._renew_at = now + (svid.expires - now) / 2
        self._metrics.own_svid(svid.expires)

    def _report(self, problems: dict[Key, Problem]) -> None:
        for key, problem in problems.items():
            if self._reported.get(key) != problem:
                log.error("%s", problem.text)
        self._reported = problems


def _without_address(world: World, full: RangeFull) -> dict[Key, Problem]:
    return {
        key: Problem("AddressesExhausted", f"{key}: {full}")
        for key, record in world.records.items()
        if isinstance(record, ServiceRecord) and f"{key.namespace}/{key.name}" not in full.given
    }
