"""One call on the serving side, from its first byte to its last."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from stoq.api import codec as codecs
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
    TimedOut,
    Unauthorised,
    Unavailable,
)
from stoq.api.framing import Kind
from stoq.api.method import SECTION_VERSION, CallHeader, CallStatus, Method
from stoq.api.stream import CANCELLED, ByteStream, Peer, StreamError

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one server lets callers take."""

    calls: int = 16384
    """Calls at once; a stream that watches counts as one."""
    anonymous_calls: int = 64
    """Of these, calls of clients without a certificate."""
    message: int = 1 << 20
    """Longest request, bytes."""
    request_timeout: float = 10.0
    """Seconds in which header and request must have arrived."""
    unary_timeout: float = 30.0
    """Seconds a unary call may take, also when its caller asks for more or for no end."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may know of the call beside the request."""

    peer: Peer | None
    """The authenticated caller; `None` only for methods registered as anonymous."""
    remote: str
    """Address and port of the caller, for logs."""
    deadline: Deadline
    stream: ByteStream
    """For `exporter`; handlers neither read nor write it."""

    def exporter(self, label: str, context: bytes = b"") -> bytes:
        """32 bytes bound to the caller's connection (RFC 8446, section 7.5)."""
        return self.stream.exporter(label, context)


@dataclass(frozen=True, slots=True)
class Handling:
    """A registered method."""

    method: Method[Any, Any]
    handler: Any
    streams: bool
    anonymous: bool


@dataclass(slots=True)
class _Request:
    handling: Handling
    codec: Codec
    value: Any
    context: Context

    def take(self) -> Any:
        """The value, for the handler alone to keep or not."""
        value, self.value = self.value, None
        return value


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
        request = await _read_in_time(channel, methods, limits)
        name = request.handling.method.name
        await _answer_unless_abandoned(channel, request, limits)
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
    await _send_failure(channel, answer, limits)
    return name, answer.status


async def _send_failure(channel: Channel, error: ApiError, limits: ServerLimits) -> None:
    """Ends the call with the error's status; a caller that does not read gets a reset."""
    status = CallStatus(error.status, str(error)[:MAX_ERROR_TEXT])
    try:
        async with asyncio.timeout(limits.request_timeout):
            await channel.send((Kind.STATUS, codecs.encode(Codec.MSGPACK, status)), end=True)
    except TimeoutError:
        channel.stream.reset(CANCELLED)


async def _read_in_time(
    channel: Channel, methods: Mapping[str, Handling], limits: ServerLimits
) -> _Request:
    try:
        async with asyncio.timeout(limits.request_timeout):
            return await _read_request(channel, methods)
    except TimeoutError:
        raise TimedOut(f"no whole request within {limits.request_timeout:g} s") from None


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
    if stream.peer is None and not handling.anonymous:
        raise Unauthorised(f"{header.method} needs a client certificate; get one by Sign first")
    try:
        codec = Codec(header.codec)
    except ValueError:
        raise BadRequest(
            f"codec {header.codec[:32]!r} is unknown here; use msgpack or json"
        ) from None
    value = codecs.decode(codec, await _expect(channel, Kind.MESSAGE), handling.method.request)
    deadline = Deadline.from_header(header.deadline_ms, asyncio.get_running_loop().time())
    context = Context(stream.peer, stream.remote, deadline, stream)
    return _Request(handling, codec, value, context)


async def _expect(channel: Channel, kind: Kind) -> bytes:
    frame = await channel.receive()
    if frame is None:
        raise BadRequest(f"the caller finished before its {kind.name.lower()}")
    if frame.kind is not kind:
        raise BadRequest(
            f"a {frame.kind.name.lower()} came where the {kind.name.lower()} of the call belongs"
        )
    return frame.body


async def _answer_unless_abandoned(
    channel: Channel, request: _Request, limits: ServerLimits
) -> None:
    """Runs the handler while listening for the caller's reset, whichever comes first."""
    answer = asyncio.ensure_future(_answer_in_time(channel, request, limits))
    caller = asyncio.ensure_future(_caller_gone(channel))
    try:
        await asyncio.wait((answer, caller), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            caller.result()
        else:
            answer.result()
    finally:
        for task in (answer, caller):
            task.cancel()
        await asyncio.gather(answer, caller, return_exceptions=True)


async def _caller_gone(channel: Channel) -> None:
    """Raises once the caller is gone or talks on; returns never."""
    if await channel.receive() is not None:
        raise BadRequest("a second message came where the method takes one request")
    # The caller has finished its direction and still waits: from here on only sending tells.
    await asyncio.get_running_loop().create_future()


async def _answer_in_time(channel: Channel, request: _Request, limits: ServerLimits) -> None:
    end = request.context.deadline.at
    if not request.handling.streams:
        latest = asyncio.get_running_loop().time() + limits.unary_timeout
        end = latest if end is None else min(end, latest)
    scope = asyncio.timeout_at(end)
    try:
        async with scope:
            if request.handling.streams:
                await _answer_many(channel, request)
            else:
                await _answer_one(channel, request)
    except TimeoutError:
        if not scope.expired():
            raise
        name = request.handling.method.name
        raise TimedOut(f"{name} did not finish before its deadline") from None


async def _answer_one(channel: Channel, request: _Request) -> None:
    handler: Awaitable[Any] = request.handling.handler(request.take(), request.context)
    response = codecs.encode(request.codec, await handler)
    await channel.send((Kind.STATUS, _OK), (Kind.MESSAGE, response), end=True)


async def _answer_many(channel: Channel, request: _Request) -> None:
    responses: AsyncIterator[Any] = request.handling.handler(request.take(), request.context)
    first = True
    async with aclosing(responses):  # type: ignore[type-var]
        async for response in responses:
            await _send(channel, request.codec, response, first=first)
            first = False
            # The next one may take days: megabytes must not wait with us.
            del response
    await (channel.send((Kind.STATUS, _OK), end=True) if first else channel.send(end=True))


async def _send(channel: Channel, codec: Codec, response: object, *, first: bool) -> None:
    message = (Kind.MESSAGE, codecs.encode(codec, response))
    await (channel.send((Kind.STATUS, _OK), message) if first else channel.send(message))


_OK: Final = codecs.encode(Codec.MSGPACK, CallStatus(Status.OK))
