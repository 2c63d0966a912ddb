"""Follows the registry and gives the engine what it says.

When the control plane is gone the last state stays in force, marked stale: flows to known peers
go on. It comes back by a jittered back-off, spread by how many the mesh has, and resumes where it
was when the registry still can.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from stoq.api.client import ApiClient
from stoq.api.errors import ApiError
from stoq.api.stream import Dialler
from stoq.registry import Gap, RegistryState
from stoq.resolver import follow
from stoq.sealing import Opener, Unsealed
from stoq_sidecar.backoff import Backoff
from stoq_sidecar.identity import refused_by_peer
from stoq_sidecar.paced import Paced
from stoq_sidecar.readiness import Readiness

log = logging.getLogger("stoq.discovery")

LATCH: Final = "registry"


@dataclass(slots=True)
class DiscoveryStatus:
    """What is known about the registry; `updated` in Unix seconds, 0 for never."""

    version: int = 0
    """Of the last state that was to be put in force."""
    updated: float = 0.0
    stale: bool = True
    reconnects: int = 0
    refused: int = 0
    """States that the engine refused; the one before stayed in force."""
    unsealed: int = 0
    """Messages that the control plane had not signed; what was said before stayed in force."""
    last_error: str = ""


class Discovery:
    """Runs for as long as the sidecar does. `use` puts a state in force and raises ValueError for
    one that cannot be used; `refused` is called when the registry does not take our certificate;
    `opener` holds what the registry says against its signature.
    """

    def __init__(
        self,
        dial: Callable[[], Dialler],
        use: Callable[[RegistryState], None],
        node: str,
        backoff: Backoff,
        readiness: Readiness,
        refused: Callable[[], None],
        opener: Opener | None = None,
    ) -> None:
        self._dial = dial
        self._use = use
        self._node = node
        self._backoff = backoff
        self._readiness = readiness
        self._refused = refused
        self._opener = opener
        self._state: RegistryState | None = None
        self._heard = False
        self._paced = Paced(self._put_in_force)
        self.status = DiscoveryStatus()

    @property
    def state(self) -> RegistryState | None:
        """The last state received; None before the first."""
        return self._state

    async def run(self) -> None:
        """Follows the registry until cancelled."""
        try:
            await self._follow_always()
        finally:
            self._paced.stop()

    async def _follow_always(self) -> None:
        failures = 0
        while True:
            self._heard = False
            began = time.monotonic()
            try:
                await self._follow()
                why = "the registry ended the stream"
            except Gap as gap:
                self._state = None  # ask for everything; the engine keeps the last table
                why = str(gap)
            except Unsealed as unsealed:
                self.status.unsealed += 1
                why = str(unsealed)
                log.error("what the registry says is not used: %s", unsealed)
            except ApiError as error:
                why = str(error)
            # A stream that brought something proves that the registry works.
            failures = 1 if self._heard else failures + 1
            self._lost(why)
            crowd = len(self._state.workloads) if self._state else 0
            took = time.monotonic() - began
            draw = random.random()  # noqa: S311
            await asyncio.sleep(self._backoff.delay(failures, draw, crowd, took))

    async def _follow(self) -> None:
        client = ApiClient(self._dial())
        said = follow(client, self._node, self._state, self._opener)
        async with aclosing(said) as states:
            async for state in states:
                self._received(state)

    def _received(self, state: RegistryState) -> None:
        before, self._state = self._state, state
        self._heard = True
        log.log(
            logging.INFO if self.status.stale else logging.DEBUG,
            "registry version %d: %d workloads, %d services, inbound %s, outbound %s",
            state.version, len(state.workloads), len(state.services),
            state.mesh.inbound, state.mesh.outbound,
        )  # fmt: skip
        self.status.updated = time.time()
        self.status.stale = False
        # Whom to trust and what is allowed never waits for the many other changes of a large mesh.
        at_once = before is None or (before.mesh, before.trust) != (state.mesh, state.trust)
        self._paced.offer(state, at_once=at_once)

    def _put_in_force(self, state: RegistryState) -> None:
        self.status.version = state.version
        try:
            self._use(state)
        except ValueError as error:
            self.status.refused += 1
            self.status.last_error = str(error)
            self._readiness.note(LATCH, str(error))
            log.error("version %d of the registry cannot be used: %s", state.version, error)
            return
        self.status.last_error = ""
        if LATCH in self._readiness.blocking():
            self._readiness.drop(LATCH)

    def _lost(self, why: str) -> None:
        if not self.status.stale:
            log.warning("registry lost, its last state stays in force: %s", why)
        else:
            log.debug("registry not reached: %s", why)
        self.status.stale = True
        self.status.reconnects += 1
        self.status.last_error = why
        self._readiness.note(LATCH, why)
        if refused_by_peer(why):
            self._refused()
