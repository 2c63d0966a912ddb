"""API calls over a stream (docs/wire-format.md, section 7)."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from stoq_reference.calls import Frame, FrameKind, decode
from stoq_reference.codes import StreamCode
from stoq_reference.errors import Malformed
from stoq_reference.stream import Stream, StreamFailed

VERSION = 1
LIMIT = 1 << 20
"""Bytes of the longest message taken."""

CODECS: dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "msgpack": (msgspec.msgpack.encode, msgspec.msgpack.decode),
    "json": (msgspec.json.encode, msgspec.json.decode),
}

Handler = Callable[[Any], Iterable[Any]]
"""Takes a request, and yields the responses."""


class CallFailed(Exception):
    """A call ended with a status other than `ok`."""

    def __init__(self, status: str, message: str = "") -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass
class Frames:
    """The frames of a stream, one after the other."""

    stream: Stream
    _received: bytes = b""

    async def next(self) -> Frame | None:
        """The next frame; None at the end. Raises Malformed, StreamFailed."""
        while (found := decode(self._received, LIMIT)) is None:
            piece = await self.stream.recv()
            if not piece:
                if self._received:
                    raise Malformed("the stream ends inside an API frame")
                return None
            self._received += piece
        frame, length = found
        self._received = self._received[length:]
        return frame

    async def next_map(self, kind: FrameKind) -> dict[str, Any]:
        """The map in the next frame, which must be of this kind."""
        frame = await self.next()
        if frame is None or frame.kind is not kind:
            raise Malformed(f"a {kind.name} was expected")
        return _map(frame)

    def send(self, kind: FrameKind, value: bytes, *, end: bool = False) -> None:
        """Sends a frame."""
        self.stream.send(Frame(kind, value).encode(), end=end)


async def call(
    stream: Stream, method: str, request: Any, *, codec: str = "msgpack", **header: Any
) -> list[Any]:
    """Calls a method with one request over a new stream; all its responses.

    `header` is what else is to stand in the call's header, such as `deadline_ms`.
    Raises CallFailed, Malformed, StreamFailed.
    """
    encode, read = CODECS.get(codec, CODECS["msgpack"])
    frames = Frames(stream)
    head = {"method": method, "codec": codec, "version": VERSION} | header
    frames.send(FrameKind.HEADER, msgspec.msgpack.encode(head))
    frames.send(FrameKind.MESSAGE, encode(request))
    _check(await frames.next_map(FrameKind.STATUS))
    responses = []
    while (frame := await frames.next()) is not None:
        match frame.kind:
            case FrameKind.MESSAGE:
                responses.append(read(frame.body))
            case FrameKind.STATUS:
                _check(_map(frame))
            case FrameKind.HEADER:
                raise Malformed("a header from the server")
    # The answer is there: our direction has no more use (A3), and the server may have said so.
    with suppress(StreamFailed):
        stream.send(b"", end=True)
    return responses


async def answer(stream: Stream, methods: Mapping[str, Handler], *, anonymous: bool) -> None:
    """Serves the one call of a stream. `anonymous`: the caller has no certificate."""
    frames = Frames(stream)
    try:
        encode, responses = await _responses(frames, methods, anonymous=anonymous)
        frames.send(FrameKind.STATUS, _status("ok"))
        for response in responses:
            frames.send(FrameKind.MESSAGE, encode(response))
        stream.send(b"", end=True)
    except (Malformed, msgspec.DecodeError) as error:
        frames.send(FrameKind.STATUS, _status("bad_request", str(error)), end=True)
    except CallFailed as failed:
        frames.send(FrameKind.STATUS, _status(failed.status, failed.message), end=True)
    except Exception:
        stream.reset(StreamCode.CANCELLED)
        raise


async def _responses(
    frames: Frames, methods: Mapping[str, Handler], *, anonymous: bool
) -> tuple[Callable[[Any], bytes], Iterable[Any]]:
    header = await frames.next_map(FrameKind.HEADER)
    if header.get("version", VERSION) != VERSION:
        raise CallFailed("bad_request", "an unknown version")
    if header.get("method") not in methods:
        raise CallFailed("not_found", "no such method")
    if anonymous:
        raise CallFailed("unauthorised", "the method needs a certificate")
    codec = header.get("codec", "msgpack")
    if codec not in CODECS:
        raise CallFailed("bad_request", "an unknown codec")
    encode, read = CODECS[codec]
    frame = await frames.next()
    if frame is None or frame.kind is not FrameKind.MESSAGE:
        raise Malformed("a request was expected")
    return encode, methods[header["method"]](read(frame.body))


def _map(frame: Frame) -> dict[str, Any]:
    try:
        return msgspec.msgpack.decode(frame.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Malformed(f"a {frame.kind.name} that is no map: {error}") from None


def _status(status: str, message: str = "") -> bytes:
    return msgspec.msgpack.encode({"status": status, "message": message})


def _check(status: dict[str, Any]) -> None:
    if (said := status.get("status")) != "ok":
        raise CallFailed(str(said), str(status.get("message", "")))
