"""What the serving side knows of a call: its limits, its method, and what a handler is told."""

from dataclasses import dataclass
from typing import Any, Final

from stoq.api.deadline import Deadline
from stoq.api.method import Bidirectional, ClientStream, Method, ServerStream
from stoq.api.stream import ByteStream, Peer


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one server lets callers take."""

    calls: int = 16384
    """Calls at once; a stream that watches counts as one."""
    anonymous_calls: int = 64
    """Of these, calls of clients without a certificate."""
    peer_calls: int = 1024
    """Of these, calls of one identity from one address."""
    message: int = 1 << 20
    """Longest request, bytes; of each, where a method takes several."""
    request_timeout: float = 10.0
    """Seconds in which the header, and the request of a method that takes one, must arrive."""
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


MANY_REQUESTS: Final = (ClientStream, Bidirectional)
MANY_RESPONSES: Final = (ServerStream, Bidirectional)


class Handling:
    """A registered method."""

    __slots__ = ("anonymous", "handler", "many_requests", "many_responses", "method")

    def __init__(self, method: Method[Any, Any], handler: Any, *, anonymous: bool) -> None:
        self.method = method
        self.handler = handler
        self.anonymous = anonymous
        self.many_requests = isinstance(method, MANY_REQUESTS)
        self.many_responses = isinstance(method, MANY_RESPONSES)
