"""What the API layer needs of a stream, and the only I/O it ever does.

`stoq.engine.streams` implements these protocols over the Rust engine; tests implement them over a
socket pair. Everything above is written against them and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

CANCELLED: Final = 0x16
"""Stream code `cancelled`: the caller gave up (docs/wire-format.md, section 6)."""

DENIED: Final = 0x18
"""Stream code `denied`: a policy or the protocol denies the stream."""

DRAINING: Final = 0x19
"""Stream code `draining`: the endpoint takes no new streams."""

EXPORTER_LENGTH: Final = 32
"""Bytes that `ByteStream.exporter` returns."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the TLS handshake proved it."""

    spiffe_id: str
    """The peer's SPIFFE id, `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`."""
    serial: str = ""
    """Serial number of the peer's certificate, lower-case hexadecimal."""
    not_after: int = 0
    """End of the certificate's life, Unix seconds."""


class StreamError(Exception):
    """The stream or its connection cannot carry on."""


class StreamReset(StreamError):
    """The peer reset the stream with an application code (wire format, section 6)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the peer reset the stream with code {code:#x}")
        self.code = code


class ConnectionLost(StreamError):
    """The connection under the stream failed or was closed; the text says why."""


class ByteStream(Protocol):
    """One bidirectional stream of bytes with backpressure."""

    @property
    def peer(self) -> Peer | None:
        """The authenticated peer; `None` for a client without certificate (bootstrap only)."""

    @property
    def remote(self) -> str:
        """Address and port of the peer, for logs."""

    @property
    def reached(self) -> bool:
        """Whether the peer may have seen anything of the stream. Where it is still false when the
        stream fails, all of it may be sent again elsewhere.
        """

    @property
    def gone(self) -> StreamError | None:
        """Why nothing that is sent here can arrive any more: the peer has reset the stream, wants
        nothing of it, or is gone. `None` while it can; that the peer has finished does not count.
        """

    def attend(self, tell: Callable[[], None] | None) -> None:
        """Has `tell` called whenever `take` or `gone` may say something new, perhaps more often;
        `None`: no more. It must not raise.
        """

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Queues all of `data`, waiting while the peer is slow; `end` finishes our direction.

        Raises `StreamError` when the stream was reset or the connection is gone.
        """

    async def recv(self, limit: int = 65536) -> bytes:
        """Waits for 1..`limit` bytes; `b""` once the peer has finished its direction.

        Raises `StreamError` when the stream was reset or the connection is gone.
        """

    def take(self, limit: int = 65536) -> bytes | None:
        """As `recv`, but `None` where that would wait."""

    def reset(self, code: int) -> None:
        """Abandons both directions with `code`. Never blocks; harmless on an ended stream."""

    def close(self) -> None:
        """Forgets the stream; what `send` accepted is still delivered. Idempotent."""

    def exporter(self, label: str, context: bytes = b"") -> bytes:
        """32 bytes of keying material bound to this connection (RFC 8446, section 7.5)."""


class Dialler(Protocol):
    """Opens streams to one remote endpoint, over one pooled connection."""

    async def open(self, *, wait: bool = True) -> ByteStream:
        """Opens a stream, dialling first where needed; raises `StreamError` when it cannot.

        Without `wait` the stream may be returned at once: what is sent waits for the connection,
        and `recv` raises when there is none.
        """


class Opened:
    """A dialler for one call on a stream that is open already, for a caller that needs the
    stream's exporter for its request.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def open(self, *, wait: bool = True) -> ByteStream:  # noqa: ARG002  # it is open
        """That stream."""
        return self._stream


class Acceptor(Protocol):
    """Yields the API streams that peers open to this endpoint."""

    async def accept(self) -> ByteStream:
        """Waits for the next stream; raises `StreamError` when the endpoint has shut down."""
