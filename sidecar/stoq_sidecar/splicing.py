"""Tells the node agent with whom this pod agrees to be joined, for as long as it does.

The agreement holds for seconds and is made again every second. When less holds than before (a
policy, a revocation, a connection that is gone) that is said at once.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from stoq.api.stream import CANCELLED, Dialler, StreamError
from stoq.broker.client import BrokerError
from stoq.broker.protocol import Offer, Spliced
from stoq.capture.plan import Address
from stoq.engine import ConnectionInfo
from stoq.registry import RegistryState, WorkloadEntry
from stoq.settings.kinds import join_host_and_port
from stoq_sidecar.offers import Known, met, offer

log = logging.getLogger("stoq.splice")

LOOK_SECONDS: Final = 1.0
"""Between two looks at the connections; an offer holds for five such."""

AGAIN_SECONDS: Final = 10.0
"""After a broker that has never taken an offer."""

DIAL_SECONDS: Final = 4.0
"""For a connection to be used."""


class Connected(Protocol):
    """The engine, as far as it matters here."""

    def connections(self) -> list[ConnectionInfo]:
        """Those of now."""

    def dialler(self, remote: str, expect: str | None = None) -> Dialler:
        """Opens streams to a peer."""


class Splicing:
    """Runs for as long as the sidecar does; `use` gets every state of the registry."""

    def __init__(
        self,
        engine: Connected,
        own: Iterable[Address],
        ask: Callable[[Offer], Spliced],
        idle_seconds: float,
    ) -> None:
        """`ask` makes an offer to the broker and blocks; it raises `BrokerError`. Connections that
        nobody uses end after `idle_seconds`.
        """
        self._engine = engine
        self._own = tuple(own)
        self._ask = ask
        self._rest = idle_seconds / 3
        self._used = 0.0
        self._known: Known | None = None
        self._state: RegistryState | None = None
        self._offered = False
        self._problem = ""
        self._changed = asyncio.Event()
        self.pairs = 0
        """Of addresses and a port that are joined now."""

    def use(self, state: RegistryState) -> None:
        """The registry has said something new."""
        self._state = state
        self._changed.set()

    async def run(self) -> None:
        """Works until cancelled; what was agreed then ends within seconds."""
        while True:
            self._changed.clear()
            rest = await self._look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), rest)

    async def _look(self) -> float | None:
        """Makes the offer of now. Returns the seconds until the next; None: until there is news."""
        if self._state is None:
            return None
        if self._known is None or self._known.state is not self._state:
            self._known = Known.of(self._state)
        known = self._known
        if not (known.wanted or self._offered):
            return None
        connections = self._engine.connections() if known.wanted else []
        made = offer(known, self._own, connections)
        if made.peers or self._offered:
            try:
                said = await asyncio.to_thread(self._ask, made)
            except BrokerError as error:
                self.pairs = 0
                self._told(str(error))
                # An agent that is replaced is back soon, and keeps what is offered again in time.
                return LOOK_SECONDS if self._offered else AGAIN_SECONDS
            self._offered, self.pairs = bool(made.peers), said.pairs
            self._told("")
        if self.pairs:
            await self._keep(known, connections)
        return LOOK_SECONDS

    async def _keep(self, known: Known, connections: Iterable[ConnectionInfo]) -> None:
        """Uses the connections of this pod's dialling: what is joined leaves them idle, and the
        agreement ends with them.
        """
        now = asyncio.get_running_loop().time()
        if now - self._used < self._rest:
            return
        self._used = now
        dialled = [one for one in connections if one.initiator == "dialled"]
        async with asyncio.TaskGroup() as tasks:
            for entry in met(known, dialled):
                tasks.create_task(self._use(entry))

    async def _use(self, entry: WorkloadEntry) -> None:
        remote = join_host_and_port(entry.addresses[0], entry.port)
        with suppress(StreamError, TimeoutError):
            async with asyncio.timeout(DIAL_SECONDS):
                stream = await self._engine.dialler(remote, entry.spiffe_id).open()
            stream.reset(CANCELLED)
            stream.close()

    def _told(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("not joined with pods of the node, nodeLocal is splice: %s", problem)
        self._problem = problem
