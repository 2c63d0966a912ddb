"""A TCP flow whose stream has tokens (docs/wire-format.md, T2)."""

from collections.abc import Callable

from stoq_reference.codes import ConnectionCode
from stoq_reference.errors import Malformed
from stoq_reference.stream import Stream
from stoq_reference.tokens import BadToken, StreamReader, StreamWriter


class TokenStream:
    """Bytes both ways, behind the tokens that cover them."""

    def __init__(
        self,
        stream: Stream,
        own: bytes,
        theirs: bytes,
        *,
        close: Callable[[ConnectionCode, str], None],
        interval: int | None = None,
    ) -> None:
        """`own`, `theirs`: keys of what we and the peer send. `close`: ends the connection."""
        self.stream = stream
        self._writer = StreamWriter(own, stream.id, interval)
        self._reader = StreamReader(theirs, stream.id)
        self._close = close

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Queues `data`; `end` finishes our direction. Raises StreamFailed."""
        out = self._writer.push(data)
        if end:
            out += self._writer.finish()
        self.stream.send(out, end=end)

    async def recv(self) -> bytes:
        """What has arrived and was verified, at least a byte; empty at the end.

        Raises StreamFailed, and BadToken or Malformed after the connection was closed for it (T1).
        """
        try:
            while piece := await self.stream.recv():
                if verified := self._reader.push(piece):
                    return verified
            self._reader.finish()
        except BadToken as error:
            self._close(ConnectionCode.BAD_TOKEN, str(error))
            raise
        except Malformed as error:
            self._close(ConnectionCode.PROTOCOL, str(error))
            raise
        return b""
