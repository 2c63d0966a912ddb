"""Readiness: a set of named latches; the pod is ready once all have dropped.

Each part that must work before the application may start holds one. What still blocks is said in
the answer of /healthz/ready and logged, so that nobody has to guess.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

log = logging.getLogger("stoq.readiness")


class Readiness:
    """The latches; made with all their names, so that none can be forgotten."""

    def __init__(self, names: Iterable[str]) -> None:
        self._waiting = dict.fromkeys(names, "has not started")
        self._draining = False
        self._settled = asyncio.Event()
        """Ready, or never again."""

    @property
    def ready(self) -> bool:
        """Whether the application may be sent traffic."""
        return not self._waiting and not self._draining

    def blocking(self) -> dict[str, str]:
        """What still blocks, and the last that is known about each."""
        return {"drain": "the sidecar is ending"} if self._draining else dict(self._waiting)

    def note(self, name: str, why: str) -> None:
        """Says why `name` still blocks. Logged when it changes."""
        if name in self._waiting and self._waiting[name] != why:
            self._waiting[name] = why
            log.info("not ready: %s: %s", name, why)

    def drop(self, name: str) -> None:
        """`name` works. Raises KeyError for a latch that was never declared or has dropped."""
        del self._waiting[name]
        if self._waiting:
            log.info("%s works; still waiting for %s", name, ", ".join(self._waiting))
        else:
            log.info("%s works; ready", name)
            self._settled.set()

    async def wait(self, seconds: float) -> None:
        """Until it is ready, or can never be again, at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    def drain(self) -> None:
        """From now on never ready again."""
        self._draining = True
        self._settled.set()
