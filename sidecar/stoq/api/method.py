"""Methods as typed values: the one thing a server and its callers share."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

Req = TypeVar("Req")
Resp = TypeVar("Resp")

SECTION_VERSION: Final = 1
"""Version of docs/wire-format.md, section 7, that this code speaks."""


@dataclass(frozen=True, slots=True)
class Method(Generic[Req, Resp]):
    """A method by its full name, `<service>.v<version>/<Method>`, and its two message types.

    The subclass says how many messages go each way.
    """

    name: str
    request: type[Req]
    response: type[Resp]


@dataclass(frozen=True, slots=True)
class Unary(Method[Req, Resp]):
    """One request, one response."""


@dataclass(frozen=True, slots=True)
class ServerStream(Method[Req, Resp]):
    """One request, any number of responses."""


@dataclass(frozen=True, slots=True)
class ClientStream(Method[Req, Resp]):
    """Any number of requests, one response."""


@dataclass(frozen=True, slots=True)
class Bidirectional(Method[Req, Resp]):
    """Any number of requests and of responses, in any order."""


class CallHeader(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The caller's first frame."""

    method: str
    codec: str = "msgpack"
    deadline_ms: int | None = None
    version: int = SECTION_VERSION


class CallStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The server's first frame, and its last when a stream fails half-way."""

    status: str
    message: str = ""
    untouched: bool = False
    """The call was refused before its handler began: it may be sent elsewhere."""
