"""One API stream on asyncio: `stoq.api.stream.ByteStream` over the engine."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

from stoq._engine import ApiStreams, StreamClosed, StreamPeer
from stoq.api.stream import CANCELLED, ConnectionLost, Peer, StreamError, StreamReset


@dataclass(frozen=True, slots=True)
class Office:
    """What a stream needs of the hub that it belongs to."""

    native: ApiStreams
    dispatch: Callable[[], None]
    """Tells streams what the engine has said meanwhile."""
    forget: Callable[[int], None]
    """No events of this stream are wanted any more."""


class Stream:
    """One API stream; a `ByteStream`. Close it, or it is kept for as long as the engine runs."""

    __slots__ = (
        "_closed", "_failure", "_finished", "_native", "_office", "_opening", "_peer", "_remote",
        "_stopped", "_tell", "_token", "_waiting", "reached",
    )  # fmt: skip

    def __init__(self, office: "Office", token: int, remote: str, *, reached: bool) -> None:
        """`remote`: whom we dialled. `reached`: the peer opened it."""
        self._office = office
        self._native = office.native
        self._token = token
        self._remote = remote
        self._waiting: tuple[asyncio.Future[None], ...] = ()
        self._tell: Callable[[], None] | None = None
        self.reached = reached
        """Whether the stream has been opened at the peer, or by it."""
        self._stopped: bool | None = False
        """Whether the peer takes nothing; None when it has to be asked for."""
        self._opening = False
        self._finished = False
        self._closed = False
        self._failure: StreamError | None = None
        self._peer: Peer | None = None

    @property
    def far(self) -> StreamPeer | None:
        """The other end with all its evidence; None before the handshake is complete, and of a
        stream that was closed.
        """
        return self._native.peer(self._token)

    @property
    def peer(self) -> Peer | None:
        """The authenticated peer; None for a client without a certificate."""
        far = self.far if self._peer is None else None
        if far is not None and far.spiffe_id is not None:
            # Thousands of pods have one identity.
            spiffe_id = sys.intern(far.spiffe_id)
            self._peer = Peer(spiffe_id, far.serial or "", far.not_after or 0)
        return self._peer

    @property
    def remote(self) -> str:
        """Address and port of the peer, for logs."""
        if not self._remote:
            far = self.far
            self._remote = far.remote if far is not None else "unknown"
        return self._remote

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Queues all of `data`, waiting while the peer is slow; `end` finishes our direction.

        Raises StreamError. One that is cancelled may have sent a part of `data`.
        """
        offset = 0
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                offset += self._native.send(self._token, data, offset, end)
            except StreamClosed as error:
                raise self._failed(error) from None
            if offset == len(data):
                return
            await self._news()

    async def recv(self, limit: int = 65536) -> bytes:
        """Waits for 1..`limit` bytes; `b""` once the peer has finished its direction.

        What arrived before the stream failed is still delivered. Raises StreamError.
        """
        while (piece := self.take(limit)) is None:
            await self._news()
        return piece

    def take(self, limit: int = 65536) -> bytes | None:
        """As `recv`, but `None` where that would wait."""
        finished, failure = self._finished, self._failure
        try:
            piece = self._native.recv(self._token, limit)
        except StreamClosed as error:
            raise self._failed(error) from None
        if piece:
            return piece
        if failure is not None:
            raise failure
        return b"" if finished else None

    def reset(self, code: int) -> None:
        """Abandons both directions with `code`. Never blocks; harmless on an ended stream."""
        self._native.reset(self._token, code)
        self._fail(StreamError(f"the stream was reset here with code {code:#x}"))

    def close(self) -> None:
        """Forgets the stream; what `send` accepted is still delivered. Idempotent."""
        if self._closed:
            return
        self._closed = True
        # Both can be asked for afterwards, by whoever writes a log line.
        _ = self.peer, self.remote
        self._office.forget(self._token)
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
        self._opening = True
        while not self.reached:
            if self._failure is not None:
                raise self._failure
            await self._news()

    @property
    def gone(self) -> StreamError | None:
        """Why nothing that is sent here can arrive any more; None while it can."""
        if self._failure is None and self._stopped is None:
            self._stopped = self._takes_nothing()
        # Asking may have told of a failure.
        if self._failure is None and self._stopped:
            return StreamReset(CANCELLED)
        return self._failure

    def attend(self, tell: Callable[[], None] | None) -> None:
        """Has `tell` called whenever `take` or `gone` may say something new; None: no more."""
        self._tell = tell

    def told(self, kind: str, reason: str | None, code: int | None) -> None:
        """The engine has said something about this stream."""
        match kind:
            case "opened":
                self.reached = True
                if not self._opening:
                    # Nobody waits for this: what is awaited comes later.
                    return
            case "finished":
                self._finished = True
            case "writable" if self._stopped is False:
                # Also what a peer's STOP_SENDING shows as.
                self._stopped = None
            case "failed" if code is not None:
                self._fail(StreamReset(code))
            case "failed":
                self._fail(ConnectionLost(reason or "the connection is gone"))
        self._wake()

    async def _news(self) -> None:
        """Waits until the engine says something more."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting += (waiting,)
        await waiting

    def _wake(self) -> None:
        if self._tell is not None:
            self._tell()
        waiting, self._waiting = self._waiting, ()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _takes_nothing(self) -> bool:
        try:
            self._native.send(self._token, b"")
        except StreamClosed:
            return True
        return False

    def _fail(self, error: StreamError) -> None:
        if self._failure is None:
            self._failure = error
        self._wake()

    def _failed(self, error: StreamClosed) -> StreamError:
        # The engine knew first; its event says why.
        self._office.dispatch()
        return self._failure or ConnectionLost(str(error))
