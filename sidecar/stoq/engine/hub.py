"""The API streams of an engine on asyncio, and how they are opened and accepted.

One reader on the engine's eventfd wakes the tasks concerned; nothing polls. Everything here
belongs to the event loop that first used it.
"""

import asyncio

from stoq._engine import ApiStreams, StreamClosed
from stoq.api.stream import CANCELLED, DENIED, ByteStream, ConnectionLost, StreamError
from stoq.engine.objects import Objects
from stoq.engine.streams import Office, Stream


class StreamHub:
    """All API streams of one engine, and the reader that wakes their tasks."""

    def __init__(self, native: ApiStreams, objects: Objects) -> None:
        self._native = native
        self._objects = objects
        self._office = Office(native, self.dispatch, self._forget)
        self._streams: dict[int, Stream] = {}
        self._accepted: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._serving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shut = False

    def attach(self) -> None:
        """Begins to listen for events on the running loop; does nothing the second time."""
        if self._loop is None and not self._shut:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._native.event_fd, self.dispatch)

    def detach(self) -> None:
        """The engine is about to end: every stream and every `accept` fails from now on."""
        if self._shut:
            return
        self._shut = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._native.event_fd)
        self._accepted.put_nowait(None)
        self._objects.end()
        for stream in tuple(self._streams.values()):
            stream.told("failed", "the engine has shut down", None)

    async def open(self, remote: str, expect: str | None, *, wait: bool) -> Stream:
        """A new stream, once it is open if `wait`. Raises StreamError, and ValueError for
        arguments.
        """
        if self._shut:
            raise ConnectionLost("the engine has shut down")
        self.attach()
        try:
            token = self._native.open(remote, expect)
        except StreamClosed as error:
            raise ConnectionLost(str(error)) from None
        stream = self._streams[token] = Stream(self._office, token, remote, reached=False)
        if not wait:
            return stream
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
        for kind, token, reason, code in self._native.poll_events():
            if kind == "accepted":
                self._welcome(token)
            elif (stream := self._streams.get(token)) is not None:
                stream.told(kind, reason, code)
            else:
                self._objects.told(kind, token, reason, code)

    def _welcome(self, token: int) -> None:
        stream = self._streams[token] = Stream(self._office, token, "", reached=True)
        if self._serving:
            self._accepted.put_nowait(stream)
        else:
            # Nobody here serves calls.
            stream.reset(DENIED)
            stream.close()

    def _forget(self, token: int) -> None:
        self._streams.pop(token, None)


class EngineDialler:
    """Opens streams to one endpoint over the engine's pooled connection; a `Dialler`."""

    def __init__(self, hub: StreamHub, remote: str, expect: str | None) -> None:
        self._hub = hub
        self._remote = remote
        self._expect = expect

    async def open(self, *, wait: bool = True) -> ByteStream:
        """A new stream, once it is open if `wait`. Raises StreamError with the reason, such as a
        firewall that drops UDP.
        """
        return await self._hub.open(self._remote, self._expect, wait=wait)


class EngineAcceptor:
    """Yields the streams that peers open; an `Acceptor`."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub
        hub.serve()

    async def accept(self) -> ByteStream:
        """Waits for the next stream. Raises StreamError when the engine has shut down."""
        return await self._hub.accept()
