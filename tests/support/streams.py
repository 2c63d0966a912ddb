"""Byte streams over socket pairs: real backpressure and half-close, no network."""

import asyncio
import hashlib
import socket
from collections.abc import Callable

from stoq.api.stream import ByteStream, ConnectionLost, Peer, StreamError, StreamReset


class SocketStream:
    """One end of a socket pair as a `ByteStream`; a reset travels beside the bytes."""

    def __init__(self, sock: socket.socket, peer: Peer | None, binding: bytes) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._binding = binding
        self.peer = peer
        self.remote = "memory"
        self.other: SocketStream | None = None
        self._reset: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._failed = False
        self.reset_sent: int | None = None
        self.closed = False
        self.reached = True
        self._tell: Callable[[], None] | None = None
        self._reset.add_done_callback(lambda _: self._news())

    async def send(self, data: bytes, *, end: bool = False) -> None:
        loop = asyncio.get_running_loop()
        if self._reset.done():
            raise StreamReset(self._reset.result())
        if self.other is not None:
            # Once the first of it is on its way.
            loop.call_soon(self.other._news)
        try:
            await self._or_reset(loop.sock_sendall(self._sock, data))
            if end:
                self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    async def recv(self, limit: int = 65536) -> bytes:
        try:
            return await self._or_reset(asyncio.get_running_loop().sock_recv(self._sock, limit))
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    def take(self, limit: int = 65536) -> bytes | None:
        if self._reset.done():
            raise StreamReset(self._reset.result())
        try:
            return self._sock.recv(limit)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    @property
    def gone(self) -> StreamError | None:
        if not self._reset.done():
            return None
        lost = self._reset.exception()
        return lost if isinstance(lost, StreamError) else StreamReset(self._reset.result())

    def attend(self, tell: Callable[[], None] | None) -> None:
        self._tell = tell

    def _news(self) -> None:
        if self._tell is not None:
            self._tell()

    def reset(self, code: int) -> None:
        self.reset_sent = code
        if self.other is not None and not self.other._reset.done():
            self.other._reset.set_result(code)

    def close(self) -> None:
        self.closed = True

    def exporter(self, label: str, context: bytes = b"") -> bytes:
        return hashlib.sha256(self._binding + label.encode() + b"\0" + context).digest()

    def lose(self) -> None:
        """The connection under both ends is gone."""
        for end in (self, self.other):
            if end is not None and not end._reset.done():
                end._reset.set_exception(ConnectionLost("the connection is gone"))
                end._reset.exception()

    async def _or_reset(self, work):
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._reset), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            task.cancel()
        raise StreamReset(self._reset.result())


def pair(*, peer: Peer | None, server: Peer | None = None) -> tuple[SocketStream, SocketStream]:
    """Caller's and server's end; the server sees `peer` as its caller."""
    left, right = socket.socketpair()
    binding = b"connection"
    caller, served = SocketStream(left, server, binding), SocketStream(right, peer, binding)
    caller.other, served.other = served, caller
    return caller, served


class Network:
    """Dialler of a client and acceptor of a server in one."""

    def __init__(self, peer: Peer | None) -> None:
        self._peer = peer
        self._waiting: asyncio.Queue[ByteStream | None] = asyncio.Queue()
        self.streams: list[tuple[SocketStream, SocketStream]] = []
        self.down = False

    async def open(self, *, wait: bool = True) -> ByteStream:
        if self.down:
            raise ConnectionLost("nobody listens")
        caller, served = pair(peer=self._peer)
        self.streams.append((caller, served))
        self._waiting.put_nowait(served)
        return caller

    async def accept(self) -> ByteStream:
        stream = await self._waiting.get()
        if stream is None:
            raise ConnectionLost("the endpoint shut down")
        return stream

    def shut_down(self) -> None:
        self._waiting.put_nowait(None)

    def close(self) -> None:
        for caller, served in self.streams:
            caller._sock.close()
            served._sock.close()
