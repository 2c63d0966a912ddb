"""Frames over a byte stream: what server and client have in common."""

from stoq.api import framing
from stoq.api.errors import Malformed
from stoq.api.framing import Decoder, Frame, Kind
from stoq.api.stream import CANCELLED, ByteStream, StreamError


class Channel:
    """Reads and writes whole frames of one call."""

    __slots__ = ("_decoder", "_sending", "stream")

    def __init__(self, stream: ByteStream, limit: int) -> None:
        """`limit`: longest message accepted, in bytes."""
        self.stream = stream
        self._decoder = Decoder(limit)
        self._sending = False

    async def receive(self) -> Frame | None:
        """The next frame; `None` when the peer has finished.

        Raises `Malformed` for bytes that are no frame or end inside one, `StreamError` when the
        stream is gone.
        """
        while (frame := self._decoder.next()) is None:
            data = await self.stream.recv()
            if not data:
                self._end()
                return None
            self._decoder.feed(data)
        return frame

    def take(self) -> Frame | None:
        """The next frame if all of it has come; raises as `receive` does."""
        while (frame := self._decoder.next()) is None:
            data = self.stream.take()
            if data is None:
                return None
            if not data:
                self._end()
                return None
            self._decoder.feed(data)
        return frame

    def _end(self) -> None:
        if self._decoder.pending:
            raise Malformed(
                f"the stream ends inside a frame, {self._decoder.pending} bytes into it"
            )

    @property
    def pending(self) -> int:
        """Bytes that have been read and belong to no frame handed out yet."""
        return self._decoder.pending

    async def send(self, *frames: tuple[Kind, bytes], end: bool = False) -> None:
        """Writes the frames, none but these; `end` finishes our direction.

        After a send that was cancelled half-way nothing can follow in order: the stream is reset
        and `StreamError` raised.
        """
        *first, last = framing.pieces(*frames)
        if self._sending:
            self.stream.reset(CANCELLED)
            raise StreamError("a message was cut off by a cancelled send")
        self._sending = True
        for piece in first:
            await self.stream.send(piece)
        await self.stream.send(last, end=end)
        self._sending = False
