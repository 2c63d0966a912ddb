"""The serving side: registers handlers and runs one task per call."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

from stoq.api.call import Context, Handling, ServerLimits
from stoq.api.errors import Status
from stoq.api.load import Load
from stoq.api.method import Bidirectional, ClientStream, Method, ServerStream, Unary
from stoq.api.serving import run_call
from stoq.api.stream import CANCELLED, DRAINING, Acceptor, ByteStream, StreamError

log: Final = logging.getLogger(__name__)

Req = TypeVar("Req")
Resp = TypeVar("Resp")

Observer = Callable[[str, Status], None]
"""Told the method (`""` when unknown) and the status of every call that ended."""


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
        self._load = Load(self._limits)
        self._running: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()

    def unary(
        self,
        method: Unary[Req, Resp],
        handler: Callable[[Req, Context], Awaitable[Resp]],
        *,
        anonymous: bool = False,
    ) -> None:
        """Registers `handler` for one-request, one-response calls of `method`."""
        self._add(method, handler, anonymous=anonymous)

    def server_stream(
        self,
        method: ServerStream[Req, Resp],
        handler: Callable[[Req, Context], AsyncIterator[Resp]],
        *,
        anonymous: bool = False,
    ) -> None:
        """Registers an async generator for calls of `method`; it is closed when the caller goes."""
        self._add(method, handler, anonymous=anonymous)

    def client_stream(
        self,
        method: ClientStream[Req, Resp],
        handler: Callable[[AsyncIterator[Req], Context], Awaitable[Resp]],
        *,
        anonymous: bool = False,
    ) -> None:
        """Registers `handler` for calls with many requests, which it may answer before their end:
        the caller is then told to stop.
        """
        self._add(method, handler, anonymous=anonymous)

    def bidirectional(
        self,
        method: Bidirectional[Req, Resp],
        handler: Callable[[AsyncIterator[Req], Context], AsyncIterator[Resp]],
        *,
        anonymous: bool = False,
    ) -> None:
        """Registers an async generator that reads requests and yields responses as it likes."""
        self._add(method, handler, anonymous=anonymous)

    def _add(self, method: Method[Any, Any], handler: Any, *, anonymous: bool) -> None:
        if method.name in self._methods:
            raise ValueError(f"method {method.name!r} is registered already; register it once")
        self._methods[method.name] = Handling(method, handler, anonymous=anonymous)

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

    async def drain(self, seconds: float) -> None:
        """Refuses new calls from now on, and returns when those that run have ended; after
        `seconds` these are ended with a reset.

        What was refused may be called elsewhere at once: callers see it by `Unavailable.untouched`.
        """
        self._load.draining = True
        try:
            async with asyncio.timeout(seconds):
                while self._load.all:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            running = tuple(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def handle(self, stream: ByteStream) -> None:
        """Serves the one call on `stream` to its end. Raises nothing but cancellation."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        peer, remote = stream.peer, stream.remote
        refusal = self._load.add(peer, remote)
        try:
            method, status = await run_call(stream, self._methods, self._limits, refusal=refusal)
            self._observer(method, status)
        except StreamError as gone:
            log.debug("call from %s ended: %s", remote, gone)
            # Closing alone could look like the end of a whole answer.
            stream.reset(CANCELLED)
        except asyncio.CancelledError:
            stream.reset(DRAINING)
            raise
        finally:
            self._running.discard(task)
            self._load.remove(peer, remote)
            if not self._load.all:
                self._idle.set()
            stream.close()
