"""Holds the parts together: what the store says goes to the registry, the CA's trust to everyone.

One task, one thread: every change runs to its end before the next one is looked at, so all that
watchers see belongs together.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec

from stoq.constants import operator_spiffe_id
from stoq.records.mesh import MeshConfigSpec
from stoq.registry import TrustEntry
from stoq_operator.ca import Ca
from stoq_operator.derive import Derived, derive
from stoq_operator.metrics import Metrics
from stoq_operator.registry import Registry
from stoq_operator.state import StateDirectory, StateError
from stoq_operator.store import Batch, Store, fold
from stoq_operator.world import World, world

log: Final = logging.getLogger(__name__)

TICK: Final = 1.0
"""Seconds between looks at the clock: expiries, rotation, the own SVID."""

OWN_UID: Final = "stoq-system/stoq-operator"
"""The control process in the CA's ledger."""


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
        state: StateDirectory,
        ca: Ca,
        registry: Registry,
        endpoint: Endpoint,
        metrics: Metrics,
        fixed: MeshConfigSpec,
        first: Batch,
        bundle: Callable[[TrustEntry], None],
    ) -> None:
        """`first` is the store's first batch and `batches` brings the ones after it; `fixed` holds
        trust domain and profile; `bundle` writes the file for sidecars.
        """
        self._store = store
        self._batches = batches
        self._state = state
        self._ca = ca
        self._registry = registry
        self._endpoint = endpoint
        self._metrics = metrics
        self._bundle = bundle
        self._fixed = fixed
        self._world = world(fold({}, first), fixed)
        self._derived = Derived(vips=_load_vips(state))
        self._reported: dict[str, str] = {}
        self._trust: TrustEntry | None = None
        self._bundled: tuple[bytes, ...] = ()
        self._renew_at = 0.0
        self._chain = ""
        self.ready = False
        """Whether records and identity are in force."""
        self.on_world: list[Callable[[World], None]] = []
        """Called with the records in force after every change of theirs."""

    @property
    def world(self) -> World:
        """The records in force."""
        return self._world

    def start(self) -> None:
        """Puts the first records, trust and identity in force. Raises `StateError`."""
        self.tick(time.time())
        self._settle()
        self.ready = True

    async def run(self) -> None:
        """Follows the store and the clock until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._tick_for_ever())

    def tick(self, now: float) -> None:
        """What time alone changes: rotation, expiry, the own SVID."""
        rotated = self._ca.advance(int(now), self._world.mesh.svid_ttl_seconds)
        if rotated:
            self._metrics.roots(
                {(root.name, root.phase.value): root.expires for root in self._ca.roots}
            )
        self._ca.tidy(now)
        if rotated or now >= self._renew_at:
            self._renew(now)
        self.refresh_trust()
        self._metrics.problems(len(self._store.health.problems) + len(self._reported))

    def refresh_trust(self) -> None:
        """Hands the trust on where it changed."""
        trust = self._ca.trust(self._world.revocations, time.time())
        if trust.roots != self._bundled:
            self._write_bundle(trust)
        if trust == self._trust:
            return
        self._trust = trust
        self._metrics.revoked(len(trust.revoked))
        self._endpoint.trust(trust)
        if self.ready:
            self._registry.update(self._derived, trust)

    def _write_bundle(self, trust: TrustEntry) -> None:
        """A bundle that can not be written stops nobody; the next tick tries again."""
        try:
            self._bundle(trust)
        except StateError as error:
            if not self.ready:
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
        self._derived = derive(self._world.records, self._world.mesh, self._derived.vips)
        self._report(dict(self._derived.problems))
        self._save_vips()
        self.refresh_trust()
        if self._trust is not None:
            self._registry.update(self._derived, self._trust)
        for told in self.on_world:
            told(self._world)

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self.tick(time.time())
            except StateError as error:
                log.error("%s; trying again", error)

    def _renew(self, now: float) -> None:
        ttl = self._world.mesh.svid_ttl_seconds
        svid = self._ca.sign(
            self._endpoint.new_key(),
            OWN_UID,
            operator_spiffe_id(self._fixed.trust_domain),
            ttl,
            int(now),
            chain=self._chain,
        )
        self._chain = self._chain or svid.serial
        self._endpoint.install(svid.certificate)
        self._renew_at = now + (svid.expires - now) / 2
        self._metrics.own_svid(svid.expires)

    def _report(self, problems: dict[str, str]) -> None:
        for key, problem in problems.items():
            if self._reported.get(key) != problem:
                log.error("%s", problem)
        self._reported = problems

    def _save_vips(self) -> None:
        vips = msgspec.json.encode(dict(sorted(self._derived.vips.items())))
        try:
            if self._state.read("vips.json") != vips:
                self._state.write("vips.json", vips)
        except StateError as error:
            log.error("virtual addresses are not saved: %s", error)


def _load_vips(state: StateDirectory) -> dict[str, str]:
    """The addresses given before. Raises `StateError`."""
    found = state.read("vips.json")
    try:
        return msgspec.json.decode(found, type=dict[str, str]) if found else {}
    except msgspec.DecodeError as error:
        raise StateError(
            f"{state.path}/vips.json: {error}; delete it and addresses are given anew"
        ) from error
