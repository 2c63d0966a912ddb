"""One call on the calling side, on a stream of its own."""

import asyncio
from contextlib import suppress
from typing import Generic, TypeVar

from stoq.api import codec as codecs
from stoq.api.channel import Channel
from stoq.api.codec import Codec
from stoq.api.deadline import Deadline
from stoq.api.errors import BadRequest, Malformed, Status, Unavailable, error_for
from stoq.api.framing import Frame, Kind
from stoq.api.method import CallHeader, CallStatus, Method
from stoq.api.stream import CANCELLED, ByteStream, StreamError

Req = TypeVar("Req")
Resp = TypeVar("Resp")
T = TypeVar("T")


class Stopped(Unavailable):
    """The server takes no more requests; whoever reads its answer learns why."""


class Call(Generic[Req, Resp]):
    """A call that is under way: requests can be sent, and responses read one after the other."""

    def __init__(
        self, stream: ByteStream, method: Method[Req, Resp], codec: Codec, limit: int
    ) -> None:
        """`limit`: longest response accepted, bytes."""
        self._stream = stream
        self._channel = Channel(stream, limit)
        self._method = method
        self._codec = codec
        self._accepted = False
        self._ended = False
        self._reading = False

    async def begin(self, deadline: Deadline, *requests: Req) -> None:
        """Sends the header, and requests with it."""
        remaining = deadline.to_header(asyncio.get_running_loop().time())
        header = CallHeader(self._method.name, self._codec.value, remaining)
        frames = [(Kind.HEADER, codecs.encode(Codec.MSGPACK, header))]
        frames += [(Kind.MESSAGE, codecs.encode(self._codec, request)) for request in requests]
        try:
            await self._channel.send(*frames)
        except StreamError as lost:
            raise self._lost(lost) from lost
        except Malformed as error:
            raise BadRequest(str(error)) from None

    async def send(self, request: Req) -> None:
        """Sends one more request, waiting while the server is slow.

        Raises the `ApiError` that the call has ended with, if it has.
        """
        try:
            await self._channel.send((Kind.MESSAGE, codecs.encode(self._codec, request)))
        except StreamError as lost:
            raise await self._reason(lost) from lost
        except Malformed as error:
            raise BadRequest(str(error)) from None

    async def finish(self) -> None:
        """Says that no request follows. Responses may."""
        # A server that has answered does not mind, nor does one that is gone: reading tells.
        with suppress(StreamError):
            await self._channel.send(end=True)

    def __aiter__(self) -> "Call[Req, Resp]":
        return self

    async def __anext__(self) -> Resp:
        """The next response; raises the `ApiError` that the call ended with."""
        while True:
            frame = await self._receive()
            if frame is None:
                self._ended = True
                if not self._accepted:
                    raise Unavailable(f"{self._method.name} ended without a status")
                raise StopAsyncIteration
            if frame.kind is Kind.STATUS:
                self._take(self._decode(Codec.MSGPACK, frame.body, CallStatus))
            elif frame.kind is Kind.MESSAGE and self._accepted:
                return self._decode(self._codec, frame.body, self._method.response)
            else:
                raise Unavailable(f"the server sent a {frame.kind.name.lower()} out of place")

    async def only(self) -> Resp:
        """The response of a method that has one."""
        answers = [response async for response in self]
        if len(answers) != 1:
            raise Unavailable(f"{self._method.name} gave {len(answers)} answers where one belongs")
        return answers[0]

    def leave(self) -> None:
        """Ends the call: a server that has not finished is told to stop."""
        if not self._ended:
            self._stream.reset(CANCELLED)
        self._stream.close()

    def _take(self, status: CallStatus) -> None:
        if status.status != Status.OK:
            self._ended = True
            # What was sent before the call began may be answered so; later it cannot be true.
            untouched = status.untouched and not self._accepted
            raise error_for(status.status, status.message, untouched=untouched)
        self._accepted = True

    async def _receive(self) -> Frame | None:
        self._reading = True
        try:
            return await self._channel.receive()
        except StreamError as lost:
            raise self._lost(lost) from lost
        except Malformed as error:
            raise Unavailable(f"the server's answer is malformed: {error}") from None
        finally:
            self._reading = False

    async def _reason(self, lost: StreamError) -> Exception:
        """Why no more requests can be sent: a server that has failed the call said it before."""
        if self._reading:
            return Stopped(f"{self._method.name} takes no more requests: {lost}")
        try:
            async for _ in self:
                pass
        except Exception as error:
            return error
        return Stopped(f"{self._method.name} has answered and takes no more requests")

    def _decode(self, codec: Codec, body: bytes, type_: type[T]) -> T:
        try:
            return codecs.decode(codec, body, type_)
        except Malformed as error:
            raise Unavailable(f"the server's answer is malformed: {error}") from None

    def _lost(self, lost: StreamError) -> Unavailable:
        return Unavailable(
            f"{self._method.name} failed: {lost}", untouched=not self._stream.reached
        )
