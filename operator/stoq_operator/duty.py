"""What only the replica that leads does, again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from stoq_kube.apiserver import ApiError
from stoq_operator.lease import Election

log: Final = logging.getLogger(__name__)


class Duty:
    """Looks when this replica begins to lead, when it is woken, and every so often between.

    What the API server refuses is logged, and tried again at the next look.
    """

    def __init__(
        self, election: Election, what: str, look: Callable[[], Awaitable[None]], interval: float
    ) -> None:
        """`what` it is about, for the log; `interval`: seconds between looks."""
        self._election = election
        self._what = what
        self._look = look
        self._interval = interval
        self._wake = asyncio.Event()
        election.on_change.append(lambda _leads: self._wake.set())

    def wake(self) -> None:
        """There is a reason to look now."""
        self._wake.set()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            # Whoever wakes it during a look may have come too late for that one.
            self._wake.clear()
            if self._election.leads:
                try:
                    await self._look()
                except ApiError as error:
                    log.warning("%s: %s; trying again", self._what, error)
            try:
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()
            except TimeoutError:
                continue
