"""One bidirectional stream, behind its head."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aioquic.quic.connection import QuicConnection

from stoq_reference.codes import StreamCode
from stoq_reference.head import Head


class StreamFailed(Exception):
    """The peer reset the stream with `code`; None: its connection is gone, or we reset it."""

    def __init__(self, code: int | None) -> None:
        super().__init__("the connection is gone" if code is None else f"reset with {code:#x}")
        self.code = code


class Stream:
    """Bytes both ways. Everything received is kept until it is read: peers are trusted not to
    send without end.
    """

    def __init__(
        self, id_: int, head: Head, connection: QuicConnection, flush: Callable[[], None]
    ) -> None:
        self.id = id_
        self.head = head
        self._connection = connection
        self._flush = flush
        self._received = bytearray()
        self._ended = False
        self._failure: StreamFailed | None = None
        self._stopped: StreamFailed | None = None
        self._finished = False
        self._abandoned = False
        self._progress = asyncio.Event()

    @property
    def stopped_with(self) -> int | None:
        """The code of the peer's STOP_SENDING, if one came."""
        return self._stopped.code if self._stopped else None

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Queues all of `data`; `end` finishes our direction. Raises StreamFailed."""
        failure = self._failure or self._stopped
        if failure is not None:
            raise failure
        if self._abandoned:
            raise StreamFailed(None)
        self._finished = end
        self._connection.send_stream_data(self.id, data, end)
        self._flush()

    async def recv(self) -> bytes:
        """What has arrived, at least a byte; empty at the end of the peer's direction.

        Raises StreamFailed.
        """
        while not self._received:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return b""
            self._progress.clear()
            await self._progress.wait()
        received = bytes(self._received)
        self._received.clear()
        return received

    async def read(self) -> bytes:
        """Everything up to the end. Raises StreamFailed."""
        pieces = []
        while piece := await self.recv():
            pieces.append(piece)
        return b"".join(pieces)

    def finish(self) -> None:
        """Ends our direction and asks for no more of the peer's, as far as they have not ended."""
        if self._failure is not None or self._abandoned:
            return
        if not self._finished:
            with suppress(StreamFailed):
                self.send(b"", end=True)
        if not self._ended:
            self._connection.stop_stream(self.id, 0)
            self._flush()
        self._abandoned = True

    def finish_sending(self) -> None:
        """Ends our direction, unless it has ended."""
        if not (self._finished or self._abandoned or self._failure or self._stopped):
            self.send(b"", end=True)

    def reset(self, code: StreamCode) -> None:
        """Abandons both directions, unless both have ended; what is sent after it fails."""
        self._abandoned = True
        if self._ended and self._finished:
            return
        abandon(self._connection, self.id, code)
        self._flush()

    def arrived(self, data: bytes, *, end: bool) -> None:
        """The connection has received `data`."""
        self._received += data
        self._ended |= end
        self._progress.set()

    def stopped(self, code: int) -> None:
        """The peer wants no more of us; what it sends may still come."""
        self._stopped = StreamFailed(code)

    def failed(self, code: int | None) -> None:
        """The peer reset the stream, or the connection ended."""
        if self._failure is None and not (self._ended and code is None):
            self._failure = StreamFailed(code)
        self._progress.set()


def abandon(connection: QuicConnection, stream_id: int, code: StreamCode) -> None:
    """RESET_STREAM and STOP_SENDING (S3)."""
    connection.reset_stream(stream_id, code)
    connection.stop_stream(stream_id, code)
