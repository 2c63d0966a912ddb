"""The calling side: one stream per call over a `Dialler`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, Generic, TypeVar

from stoq.api import codec as codecs
from stoq.api.channel import Channel
from stoq.api.codec import Codec
from stoq.api.deadline import Deadline
from stoq.api.errors import BadRequest, Malformed, Status, TimedOut, Unavailable, error_for
from stoq.api.framing import MAX_BODY, Frame, Kind
from stoq.api.method import CallHeader, CallStatus, Method, ServerStream, Unary
from stoq.api.stream import CANCELLED, Dialler, StreamError

Req = TypeVar("Req")
Resp = TypeVar("Resp")
T = TypeVar("T")

DEFAULT_TIMEOUT: Final = 10.0
"""Seconds a unary call may take, dialling included, unless the caller says otherwise."""


class ApiClient:
    """Calls methods of one server.

    A failed connection fails the calls on it with `Unavailable`; when to try again is the
    caller's decision, since only it knows what is worth repeating.
    """

    def __init__(
        self, dialler: Dialler, *, codec: Codec = Codec.MSGPACK, limit: int = MAX_BODY
    ) -> None:
        """`limit`: longest response accepted, bytes."""
        self._dialler = dialler
        self._codec = codec
        self._limit = limit

    async def call(
        self, method: Unary[Req, Resp], request: Req, *, timeout: float = DEFAULT_TIMEOUT
    ) -> Resp:
        """The answer to `request`. Raises an `ApiError`: `TimedOut` after `timeout` seconds.

        Cancelling the task resets the stream, which cancels the handler.
        """
        async with self._opened(method, request, timeout) as responses:
            answers = [response async for response in responses]
        if len(answers) != 1:
            raise Unavailable(f"{method.name} gave {len(answers)} answers where one belongs")
        return answers[0]

    @asynccontextmanager
    async def stream(
        self, method: ServerStream[Req, Resp], request: Req, *, timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[Resp]]:
        """Opens a streaming call: `async with client.stream(...) as messages: async for ...`.

        Leaving the block early resets the stream. `timeout` bounds the whole block in seconds;
        `None` lets it run for ever. Errors as in `call`.
        """
        async with self._opened(method, request, timeout) as responses:
            yield responses

    @asynccontextmanager
    async def _opened(
        self, method: Method[Req, Resp], request: Req, timeout: float | None
    ) -> AsyncIterator[AsyncIterator[Resp]]:
        deadline = Deadline.after(timeout, asyncio.get_running_loop().time())
        scope = asyncio.timeout_at(deadline.at)
        try:
            async with scope:
                with _lost_means_unavailable(method.name):
                    stream = await self._dialler.open()
                call = _Call(Channel(stream, self._limit), self._codec, method)
                try:
                    await call.ask(request, deadline)
                    yield call.responses()
                finally:
                    if not call.ended:
                        stream.reset(CANCELLED)
                    stream.close()
        except TimeoutError:
            if not scope.expired():
                raise
            raise TimedOut(f"{method.name} gave no answer within {timeout:g} s") from None


class _Call(Generic[Req, Resp]):
    """One call on an open stream."""

    def __init__(self, channel: Channel, codec: Codec, method: Method[Req, Resp]) -> None:
        self._channel = channel
        self._codec = codec
        self._method = method
        self.ended = False
        """Whether the server has finished, so that nothing is left to reset."""

    async def ask(self, request: Req, deadline: Deadline) -> None:
        """Sends header and request. Our direction stays open, so that a reset can follow."""
        remaining = deadline.to_header(asyncio.get_running_loop().time())
        header = CallHeader(self._method.name, self._codec, remaining)
        with _lost_means_unavailable(self._method.name):
            try:
                await self._channel.send(
                    (Kind.HEADER, codecs.encode(Codec.MSGPACK, header)),
                    (Kind.MESSAGE, codecs.encode(self._codec, request)),
                )
            except Malformed as error:
                raise BadRequest(str(error)) from None

    async def responses(self) -> AsyncIterator[Resp]:
        """Messages up to the end of the call; raises the `ApiError` it ended with."""
        accepted = False
        while (frame := await self._receive()) is not None:
            if frame.kind is Kind.STATUS:
                status = self._decode(Codec.MSGPACK, frame.body, CallStatus)
                if status.status != Status.OK:
                    self.ended = True
                    raise error_for(status.status, status.message)
                accepted = True
            elif frame.kind is Kind.MESSAGE and accepted:
                response = self._decode(self._codec, frame.body, self._method.response)
                # The next frame may be days away: this one's megabytes must not wait with us.
                del frame
                yield response
                del response
            else:
                raise Unavailable(f"the server sent a {frame.kind.name.lower()} out of place")
        self.ended = True
        if not accepted:
            raise Unavailable(f"{self._method.name} ended without a status")
        with suppress(StreamError):
            await self._channel.send(end=True)

    async def _receive(self) -> Frame | None:
        with _lost_means_unavailable(self._method.name):
            try:
                return await self._channel.receive()
            except Malformed as error:
                raise Unavailable(f"the server's answer is malformed: {error}") from None

    def _decode(self, codec: Codec, body: bytes, type_: type[T]) -> T:
        try:
            return codecs.decode(codec, body, type_)
        except Malformed as error:
            raise Unavailable(f"the server's answer is malformed: {error}") from None


@contextmanager
def _lost_means_unavailable(method: str) -> Iterator[None]:
    try:
        yield
    except StreamError as lost:
        raise Unavailable(f"{method} failed: {lost}") from lost
