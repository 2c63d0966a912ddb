"""API streams on asyncio: `stoq.api.stream`'s protocols over the engine.

One reader on the engine's eventfd wakes the tasks concerned; nothing polls. Everything here
belongs to the event loop that first used it.
"""

import asyncio
from typing import Final

from stoq._engine import ApiStreams, StreamClosed, StreamPeer
from stoq.api.stream import (
    CANCELLED,
    DENIED,
    ByteStream,
    ConnectionLost,
    Peer,
    StreamError,
    StreamReset,
)


class Stream:
    """One API stream; a `ByteStream`. Close it, or it is kept for as long as the engine runs."""

    def __init__(self, hub: "StreamHub", token: int) -> None:
        self._hub = hub
        self._native = hub.native
        self._token = token
        self._progress = asyncio.Event()
        self._opened = False
        self._finished = False
        self._closed = False
        self._failure: StreamError | None = None
        self._far: StreamPeer | None = None

    @property
    def far(self) -> StreamPeer | None:
        """The other end with all its evidence; None before the handshake is complete."""
        if self._far is None:
            self._far = self._native.peer(self._token)
        return self._far

    @property
    def peer(self) -> Peer | None:
        """The authenticated peer; None for a client without a certificate."""
        far = self.far
        if far is None or far.spiffe_id is None:
            return None
        return Peer(far.spiffe_id, far.serial or "", far.not_after or 0)

    @property
    def remote(self) -> str:
        """Address and port of the peer, for logs."""
        far = self.far
        return far.remote if far is not None else "unknown"

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Queues all of `data`, waiting while the peer is slow; `end` finishes our direction.

        Raises StreamError. One that is cancelled may have sent a part of `data`.
        """
        offset = 0
        while True:
            self._check()
            self._progress.clear()
            try:
                offset += self._native.send(self._token, data, offset, end)
            except StreamClosed as error:
                raise self._failed(error) from None
            if offset == len(data):
                return
            await self._progress.wait()

    async def recv(self, limit: int = 65536) -> bytes:
        """Waits for 1..`limit` bytes; `b""` once the peer has finished its direction.

        What arrived before the stream failed is still delivered. Raises StreamError.
        """
        while True:
            finished, failure = self._finished, self._failure
            self._progress.clear()
            try:
                piece = self._native.recv(self._token, limit)
            except StreamClosed as error:
                raise self._failed(error) from None
            if piece:
                return piece
            if failure is not None:
                raise failure
            if finished:
                return b""
            await self._progress.wait()

    def reset(self, code: int) -> None:
        """Abandons both directions with `code`. Never blocks; harmless on an ended stream."""
        self._native.reset(self._token, code)
        self._fail(StreamError(f"the stream was reset here with code {code:#x}"))

    def close(self) -> None:
        """Forgets the stream; what `send` accepted is still delivered. Idempotent."""
        if self._closed:
            return
        self._closed = True
        # The peer can be asked for afterwards, by whoever writes a log line.
        _ = self.far
        self._hub.forget(self._token)
        self._native.close(self._token)
        self._fail(StreamError("the stream was closed here"))

    def exporter(self, label: str, context: bytes = b"") -> bytes:
        """32 bytes of keying material bound to this connection (RFC 8446, section 7.5)."""
        try:
            return self._native.exporter(self._token, label, context)
        except StreamClosed as error:
            raise self._failed(error) from None

    async def opened(self) -> None:
        """Waits until the stream is open. Raises StreamError when it cannot be."""
        while not self._opened:
            self._check()
            self._progress.clear()
            await self._progress.wait()

    def told(self, kind: str, reason: str | None, code: int | None) -> None:
        """The engine has said something about this stream."""
        match kind:
            case "opened":
                self._opened = True
            case "finished":
                self._finished = True
            case "failed" if code is not None:
                self._fail(StreamReset(code))
            case "failed":
                self._fail(ConnectionLost(reason or "the connection is gone"))
        self._progress.set()

    def _fail(self, error: StreamError) -> None:
        if self._failure is None:
            self._failure = error
        self._progress.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _failed(self, error: StreamClosed) -> StreamError:
        # The engine knew first; its event says why.
        self._hub.dispatch()
        return self._failure or ConnectionLost(str(error))


class StreamHub:
    """All API streams of one engine, and the reader that wakes their tasks."""

    def __init__(self, native: ApiStreams) -> None:
        self.native: Final = native
        self._streams: dict[int, Stream] = {}
        self._accepted: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._serving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shut = False

    def attach(self) -> None:
        """Begins to listen for events on the running loop; does nothing the second time."""
        if self._loop is None and not self._shut:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self.native.event_fd, self.dispatch)

    def detach(self) -> None:
        """The engine is about to end: every stream and every `accept` fails from now on."""
        if self._shut:
            return
        self._shut = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self.native.event_fd)
        self._accepted.put_nowait(None)
        for stream in tuple(self._streams.values()):
            stream.told("failed", "the engine has shut down", None)

    def forget(self, token: int) -> None:
        """No events of this stream are wanted any more."""
        self._streams.pop(token, None)

    async def open(self, remote: str, expect: str | None) -> Stream:
        """A new stream, once it is open. Raises StreamError, and ValueError for arguments."""
        if self._shut:
            raise ConnectionLost("the engine has shut down")
        self.attach()
        try:
            token = self.native.open(remote, expect)
        except StreamClosed as error:
            raise ConnectionLost(str(error)) from None
        stream = self._streams[token] = Stream(self, token)
        try:
            await stream.opened()
        except asyncio.CancelledError:
            stream.reset(CANCELLED)
            stream.close()
            raise
        except StreamError:
            stream.close()
            raise
        return stream

    def serve(self) -> None:
        """Keeps the streams that peers open for `accept`; before this they are denied."""
        self._serving = True

    async def accept(self) -> Stream:
        """The next stream that a peer opened. Raises StreamError after `detach`."""
        self.attach()
        stream = await self._accepted.get()
        if stream is None:
            self._accepted.put_nowait(None)
            raise ConnectionLost("the engine has shut down")
        return stream

    def dispatch(self) -> None:
        """Tells streams what the engine has said since the last time."""
        for kind, token, reason, code in self.native.poll_events():
            if kind == "accepted":
                self._welcome(token)
            elif (stream := self._streams.get(token)) is not None:
                stream.told(kind, reason, code)

    def _welcome(self, token: int) -> None:
        stream = self._streams[token] = Stream(self, token)
        if self._serving:
            self._accepted.put_nowait(stream)
        else:
            # Nobody here serves calls.
            stream.reset(DENIED)
            stream.close()


class EngineDialler:
    """Opens streams to one endpoint over the engine's pooled connection; a `Dialler`."""

    def __init__(self, hub: StreamHub, remote: str, expect: str | None) -> None:
        self._hub = hub
        self._remote = remote
        self._expect = expect

    async def open(self) -> ByteStream:
        """A new stream. Raises StreamError with the reason, such as a firewall that drops UDP."""
        return await self._hub.open(self._remote, self._expect)


class EngineAcceptor:
    """Yields the streams that peers open; an `Acceptor`."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub
        hub.serve()

    async def accept(self) -> ByteStream:
        """Waits for the next stream. Raises StreamError when the engine has shut down."""
        return await self._hub.accept()
