"""One call on the serving side, from its first byte to its last."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from stoq.api import codec as codecs
from stoq.api.call import Context, Handling, ServerLimits
from stoq.api.channel import Channel
from stoq.api.codec import Codec
from stoq.api.deadline import Deadline
from stoq.api.errors import (
    MAX_ERROR_TEXT,
    ApiError,
    BadRequest,
    Malformed,
    NotFound,
    Status,
    Unauthorised,
    Unavailable,
)
from stoq.api.framing import Kind
from stoq.api.guard import Guard
from stoq.api.method import SECTION_VERSION, CallHeader, CallStatus
from stoq.api.stream import CANCELLED, ByteStream, StreamError

log: Final = logging.getLogger(__name__)

Req = TypeVar("Req")


class _Request:
    """A call that was let in."""

    __slots__ = ("codec", "context", "handling", "value")

    def __init__(self, handling: Handling, codec: Codec, value: Any, context: Context) -> None:
        self.handling = handling
        self.codec = codec
        self.value = value
        self.context = context

    def take(self) -> Any:
        """The value, for the handler alone to keep or not."""
        value, self.value = self.value, None
        return value


class Requests(Generic[Req]):
    """The requests of a call that has several, as they come; each is read when it is asked for, so
    a handler that is slow holds the caller back.

    Raises `BadRequest` for one that cannot be read.
    """

    def __init__(self, channel: Channel, codec: Codec, type_: type[Req]) -> None:
        self._channel = channel
        self._codec = codec
        self._type = type_

    def __aiter__(self) -> "Requests[Req]":
        return self

    async def __anext__(self) -> Req:
        try:
            frame = await self._channel.receive()
            if frame is None:
                raise StopAsyncIteration
            if frame.kind is not Kind.MESSAGE:
                raise BadRequest(f"a {frame.kind.name.lower()} came where requests belong")
            return codecs.decode(self._codec, frame.body, self._type)
        except Malformed as error:
            raise BadRequest(str(error)) from None


async def run_call(
    stream: ByteStream,
    methods: Mapping[str, Handling],
    limits: ServerLimits,
    *,
    refusal: str | None,
) -> tuple[str, Status]:
    """Runs the call on `stream`; `refusal` answers it with `unavailable` and that text.

    Returns the method's name (`""` when it is none of `methods`) and how the call ended. Raises
    `StreamError` when there is nobody left to answer.
    """
    channel = Channel(stream, limits.message)
    name = ""
    try:
        if refusal is not None:
            raise Unavailable(refusal)
        with Guard(
            limits.request_timeout, f"no whole request within {limits.request_timeout:g} s"
        ) as guard:
            request = await _read_request(channel, methods)
            name = request.handling.method.name
            _watch(guard, channel, request, limits)
            if not request.handling.many_requests and channel.pending:
                await _expect_nothing(channel)
            await _answer(channel, request)
        return name, Status.OK
    except ApiError as error:
        answer = error
    except Malformed as error:
        answer = BadRequest(str(error))
    except StreamError:
        raise
    except Exception:
        log.exception("handler of %s failed for %s", name, stream.remote)
        answer = Unavailable("the server failed on this request; its log has the cause")
    # An error that a handler passes on from a call of its own says nothing of this one.
    status = CallStatus(answer.status, str(answer)[:MAX_ERROR_TEXT], refusal is not None)
    await _send_failure(channel, status, limits)
    return name, answer.status


async def _send_failure(channel: Channel, status: CallStatus, limits: ServerLimits) -> None:
    """Ends the call with a status; a caller that does not read gets a reset."""
    try:
        async with asyncio.timeout(limits.request_timeout):
            await channel.send((Kind.STATUS, codecs.encode(Codec.MSGPACK, status)), end=True)
    except TimeoutError:
        channel.stream.reset(CANCELLED)


async def _read_request(channel: Channel, methods: Mapping[str, Handling]) -> _Request:
    stream = channel.stream
    header = codecs.decode(Codec.MSGPACK, await _expect(channel, Kind.HEADER), CallHeader)
    if header.version != SECTION_VERSION:
        raise BadRequest(
            f"version {header.version} of the call format is unknown here; "
            f"this server speaks {SECTION_VERSION}"
        )
    handling = methods.get(header.method)
    if handling is None:
        raise NotFound(f"method {header.method[:128]!r} does not exist here")
    peer = stream.peer
    if peer is None and not handling.anonymous:
        raise Unauthorised(f"{header.method} needs a client certificate; get one by Sign first")
    codec = codecs.CODECS.get(header.codec)
    if codec is None:
        raise BadRequest(f"codec {header.codec[:32]!r} is unknown here; use msgpack or json")
    value: Any
    if handling.many_requests:
        value = Requests(channel, codec, handling.method.request)
    else:
        value = codecs.decode(codec, await _expect(channel, Kind.MESSAGE), handling.method.request)
    deadline = Deadline.from_header(header.deadline_ms, asyncio.get_running_loop().time())
    return _Request(handling, codec, value, Context(peer, stream.remote, deadline, stream))


async def _expect(channel: Channel, kind: Kind) -> bytes:
    frame = await channel.receive()
    if frame is None:
        raise BadRequest(f"the caller finished before its {kind.name.lower()}")
    if frame.kind is not kind:
        raise BadRequest(
            f"a {frame.kind.name.lower()} came where the {kind.name.lower()} of the call belongs"
        )
    return frame.body


def _watch(guard: Guard, channel: Channel, request: _Request, limits: ServerLimits) -> None:
    """Has the guard see to the call's deadline and its caller."""
    handling = request.handling
    end = request.context.deadline.at
    if not (handling.many_requests or handling.many_responses):
        latest = asyncio.get_running_loop().time() + limits.unary_timeout
        end = latest if end is None else min(end, latest)
    late = "" if end is None else f"{handling.method.name} did not finish before its deadline"
    guard.until(end, late, _Caller(channel, silent=not handling.many_requests))


class _Caller:
    """The caller of a call that is being answered. A `guard.Caller`."""

    __slots__ = ("_channel", "_silent")

    def __init__(self, channel: Channel, *, silent: bool) -> None:
        """`silent`: it has sent all that it may."""
        self._channel = channel
        self._silent = silent

    def attend(self, tell: Callable[[], None] | None) -> None:
        self._channel.stream.attend(tell)

    def verdict(self) -> Exception | None:
        """That it is gone, or talks on. It may have finished its direction, and wait."""
        try:
            if self._silent and self._channel.take() is not None:
                return _one_too_many()
        except (Malformed, StreamError) as error:
            return error
        return self._channel.stream.gone


def _one_too_many() -> BadRequest:
    return BadRequest("a second message came where the method takes one request")


def _answer(channel: Channel, request: _Request) -> Awaitable[None]:
    answer = _answer_many if request.handling.many_responses else _answer_one
    return answer(channel, request)


async def _expect_nothing(channel: Channel) -> None:
    """Bytes after the one request."""
    await channel.receive()
    raise _one_too_many()


async def _answer_one(channel: Channel, request: _Request) -> None:
    handler: Awaitable[Any] = request.handling.handler(request.take(), request.context)
    response = codecs.encode(request.codec, await handler)
    await channel.send((Kind.STATUS, _OK), (Kind.MESSAGE, response), end=True)


async def _answer_many(channel: Channel, request: _Request) -> None:
    responses: Any = request.handling.handler(request.take(), request.context)
    first = True
    try:
        async for response in responses:
            body = codecs.encode(request.codec, response)
            # Its receiver may be slow, and the next one may take days: megabytes must not wait with
            # us, nor twice.
            del response
            await _send(channel, body, first=first)
            first = False
            del body
    finally:
        await responses.aclose()
    await (channel.send((Kind.STATUS, _OK), end=True) if first else channel.send(end=True))


async def _send(channel: Channel, body: bytes, *, first: bool) -> None:
    message = (Kind.MESSAGE, body)
    await (channel.send((Kind.STATUS, _OK), message) if first else channel.send(message))


_OK: Final = codecs.encode(Codec.MSGPACK, CallStatus(Status.OK))
