"""The calling side: one stream per call, to one endpoint or to those of a name."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from stoq.api.calling import Call, Stopped
from stoq.api.codec import Codec
from stoq.api.deadline import Deadline
from stoq.api.errors import TimedOut, Unavailable
from stoq.api.framing import MAX_BODY
from stoq.api.method import Bidirectional, ClientStream, Method, ServerStream, Unary
from stoq.api.objects import ObjectSender, send_object
from stoq.api.route import Direct, Leg, Named, Route
from stoq.api.stream import Dialler, StreamError

Req = TypeVar("Req")
Resp = TypeVar("Resp")

DEFAULT_TIMEOUT: Final = 10.0
"""Seconds a unary call may take, dialling included, unless the caller says otherwise."""

OBJECT_TIMEOUT: Final = 60.0
"""Seconds in which an object must have arrived, unless the caller says otherwise."""


class ApiClient:
    """Calls methods of one service.

    A call that nobody has seen goes to the service's next endpoint, if it has one. Otherwise a
    failed connection fails the calls on it with `Unavailable`; when to try again is the caller's
    decision, since only it knows what is worth repeating.
    """

    def __init__(
        self,
        to: Dialler | Named,
        *,
        codec: Codec = Codec.MSGPACK,
        limit: int = MAX_BODY,
        objects: ObjectSender | None = None,
    ) -> None:
        """`to`: one endpoint, or those of a name. `limit`: longest response accepted, bytes.
        `objects`: how `send_object` reaches the service's workload.
        """
        self._route: Route = to if isinstance(to, Named) else Direct(to)
        self._codec = codec
        self._limit = limit
        self._objects = objects

    async def call(
        self, method: Unary[Req, Resp], request: Req, *, timeout: float = DEFAULT_TIMEOUT
    ) -> Resp:
        """The answer to `request`. Raises an `ApiError`: `TimedOut` after `timeout` seconds.

        Cancelling the task resets the stream, which cancels the handler.
        """
        deadline = _deadline(timeout)
        scope = asyncio.timeout_at(deadline.at)
        try:
            async with scope:
                return await self._call(method, request, deadline)
        except TimeoutError:
            if not scope.expired():
                raise
            raise _late(method, timeout) from None

    @asynccontextmanager
    async def stream(
        self, method: ServerStream[Req, Resp], request: Req, *, timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[Resp]]:
        """Opens a streaming call: `async with client.stream(...) as messages: async for ...`.

        Leaving the block early resets the stream. `timeout` bounds the whole block in seconds;
        `None` lets it run for ever. Errors as in `call`.
        """
        async with self._opened(method, timeout, request) as call:
            del request
            yield call

    async def upload(
        self,
        method: ClientStream[Req, Resp],
        requests: AsyncIterable[Req] | Iterable[Req],
        *,
        timeout: float | None = None,
    ) -> Resp:
        """The answer to all of `requests`, which are taken as fast as the server reads them.

        A server may answer before their end; no more of them are taken then. What `requests` raise
        ends the call and is raised here. Errors as in `call`.
        """
        async with self._opened(method, timeout) as call:
            sending = asyncio.ensure_future(_send_all(call, requests))
            answer = asyncio.ensure_future(call.only())
            try:
                await asyncio.wait((sending, answer), return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    # A server that takes no more requests says why in its answer.
                    with suppress(Stopped):
                        sending.result()
                return await answer
            finally:
                sending.cancel()
                answer.cancel()
                await asyncio.gather(sending, answer, return_exceptions=True)

    @asynccontextmanager
    async def converse(
        self, method: Bidirectional[Req, Resp], *, timeout: float | None = None
    ) -> AsyncIterator[Call[Req, Resp]]:
        """Opens a call with many requests and responses: `send`, `finish`, and iterate over it.

        One task may send while another reads. Otherwise as `stream`.
        """
        async with self._opened(method, timeout) as call:
            yield call

    async def send_object(
        self, data: bytes, *, timeout: float = OBJECT_TIMEOUT, sign: bool = False
    ) -> None:
        """Sends an object, and returns when the peer has all of it, verified. `sign`: with the
        FALCON signature of our identity, so that whoever gets it of others knows whose it is.

        Raises an `ApiError`, and ValueError for a client that was made without `objects`.
        """
        if self._objects is None:
            raise ValueError("this client has no way for objects; give it `objects`")
        await send_object(self._objects, data, timeout, sign=sign)

    async def _call(self, method: Unary[Req, Resp], request: Req, deadline: Deadline) -> Resp:
        """The answer of the first endpoint that the call reaches."""
        failed: Unavailable | None = None
        tried: list[Leg] = []
        while (leg := await self._route.pick(tried)) is not None:
            tried.append(leg)
            reached: bool | None = None
            try:
                call = await self._open(leg, method, wait=False)
                try:
                    await call.begin(deadline, request)
                    answer = await call.only()
                    reached = True
                    return answer
                finally:
                    call.leave()
            except Unavailable as error:
                if not error.untouched:
                    raise
                reached, failed = False, error
            finally:
                leg.ended(reached=reached)
        raise failed or _nobody(method)

    async def _reach(self, method: Method[Req, Resp]) -> tuple[Leg, Call[Req, Resp]]:
        """An open stream to the first endpoint that can be reached."""
        failed: Unavailable | None = None
        tried: list[Leg] = []
        while (leg := await self._route.pick(tried)) is not None:
            tried.append(leg)
            try:
                return leg, await self._open(leg, method, wait=True)
            except Unavailable as error:
                leg.ended(reached=False)
                failed = error
            except BaseException:
                leg.ended(reached=None)
                raise
        raise failed or _nobody(method)

    @asynccontextmanager
    async def _opened(
        self, method: Method[Req, Resp], timeout: float | None, *requests: Req
    ) -> AsyncIterator[Call[Req, Resp]]:
        deadline = _deadline(timeout)
        scope = asyncio.timeout_at(deadline.at)
        try:
            async with scope:
                leg, call = await self._reach(method)
                try:
                    await call.begin(deadline, *requests)
                    del requests
                    yield call
                finally:
                    call.leave()
                    leg.ended(reached=True)
        except TimeoutError:
            if not scope.expired():
                raise
            raise _late(method, timeout) from None

    async def _open(self, leg: Leg, method: Method[Req, Resp], *, wait: bool) -> Call[Req, Resp]:
        try:
            stream = await leg.dialler.open(wait=wait)
        except StreamError as lost:
            raise Unavailable(f"{method.name} failed: {lost}", untouched=True) from lost
        return Call(stream, method, self._codec, self._limit)


def _nobody(method: Method[Req, Resp]) -> Unavailable:
    return Unavailable(f"{method.name} failed: no endpoint takes calls now", untouched=True)


def _deadline(timeout: float | None) -> Deadline:
    return Deadline.after(timeout, asyncio.get_running_loop().time())


def _late(method: Method[Req, Resp], timeout: float | None) -> TimedOut:
    return TimedOut(f"{method.name} gave no answer within {timeout:g} s")


async def _send_all(call: Call[Req, Resp], requests: AsyncIterable[Req] | Iterable[Req]) -> None:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            await call.send(request)
    else:
        for request in requests:
            await call.send(request)
    await call.finish()
