"""The serving side: registers handlers and runs one task per call."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from stoq.api.call import Context, Handling, ServerLimits, run_call
from stoq.api.errors import Status
from stoq.api.method import Method, ServerStream, Unary
from stoq.api.stream import CANCELLED, DRAINING, Acceptor, ByteStream, StreamError

log: Final = logging.getLogger(__name__)

Req = TypeVar("Req")
Resp = TypeVar("Resp")

Observer = Callable[[str, Status], None]
"""Told the method (`""` when unknown) and the status of every call that ended."""


@dataclass(slots=True)
class _Load:
    """Calls running now."""

    all: int = 0
    anonymous: int = 0


def _ignore(_method: str, _status: Status) -> None:
    return None


class ApiServer:
    """A table of methods and the loop that serves them.

    A method is closed to callers without an identity unless it is registered with
    `anonymous=True`: forgetting the argument fails closed.
    """

    def __init__(self, limits: ServerLimits | None = None, *, observer: Observer = _ignore) -> None:
        self._limits = limits or ServerLimits()
        self._observer = observer
        self._methods: dict[str, Handling] = {}
        self._load = _Load()

    def unary(
        self,
        method: Unary[Req, Resp],
        handler: Callable[[Req, Context], Awaitable[Resp]],
        *,
        anonymous: bool = False,
    ) -> None:
        """Registers `handler` for one-request, one-response calls of `method`."""
        self._add(method, handler, streams=False, anonymous=anonymous)

    def server_stream(
        self,
        method: ServerStream[Req, Resp],
        handler: Callable[[Req, Context], AsyncIterator[Resp]],
        *,
        anonymous: bool = False,
    ) -> None:
        """Registers an async generator for calls of `method`; it is closed when the caller goes."""
        self._add(method, handler, streams=True, anonymous=anonymous)

    def _add(
        self, method: Method[Any, Any], handler: Any, *, streams: bool, anonymous: bool
    ) -> None:
        if method.name in self._methods:
            raise ValueError(f"method {method.name!r} is registered already; register it once")
        self._methods[method.name] = Handling(method, handler, streams, anonymous)

    async def serve(self, acceptor: Acceptor) -> None:
        """Serves every stream the acceptor yields, until it ends.

        Cancelling it ends the running calls with a reset (`draining`), which callers see as
        `Unavailable`.
        """
        async with asyncio.TaskGroup() as calls:
            while True:
                try:
                    stream = await acceptor.accept()
                except StreamError as ended:
                    log.info("no more streams to serve: %s", ended)
                    return
                calls.create_task(self.handle(stream))

    async def handle(self, stream: ByteStream) -> None:
        """Serves the one call on `stream` to its end. Raises nothing but cancellation."""
        anonymous = stream.peer is None
        self._load.all += 1
        self._load.anonymous += anonymous
        try:
            method, status = await run_call(
                stream, self._methods, self._limits, refusal=self._overload(anonymous=anonymous)
            )
            self._observer(method, status)
        except StreamError as gone:
            log.debug("call from %s ended: %s", stream.remote, gone)
            # Closing alone could look like the end of a whole answer.
            stream.reset(CANCELLED)
        except asyncio.CancelledError:
            stream.reset(DRAINING)
            raise
        finally:
            self._load.all -= 1
            self._load.anonymous -= anonymous
            stream.close()

    def _overload(self, *, anonymous: bool) -> str | None:
        """Why a call that has just arrived is one too many, if it is."""
        if self._load.all > self._limits.calls:
            return f"{self._limits.calls} calls are running, the limit; try again later"
        if anonymous and self._load.anonymous > self._limits.anonymous_calls:
            return (
                f"{self._limits.anonymous_calls} calls without a certificate are running, "
                "the limit; try again later"
            )
        return None
