"""Bytes of the broker protocol: requests, replies and their limits. Pure.

One request and one reply, each one SOCK_SEQPACKET message holding one msgpack map with the
version under `v`; a reply may carry descriptors in the order of its `sockets`. docs/broker.md is
the specification.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeVar

import msgspec

VERSION: Final = 1

NAME: Final = "\0stoq-broker"
"""Abstract Unix socket name. Abstract names belong to a network namespace, so that each pod has
its own and no volume is needed to share it."""

MAX_MESSAGE: Final = 65536
"""Bytes of one message. The largest, a `hello` reply, is a few hundred."""

MAX_WORKERS: Final = 64
"""Workers a sidecar may ask sockets for; SCM_RIGHTS carries at most 253 descriptors
(`SCM_MAX_FD`)."""


MAX_QUEUES: Final = 32
"""Queues of an interface that can be lent, as the kernel's program has places (STOQ_XSK_QUEUES)."""


class Operation(StrEnum):
    """What can be asked."""

    HELLO = "hello"
    SOCKETS = "sockets"
    HANDOVER = "handover"


class Role(StrEnum):
    """What a socket is for."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    STOQ = "stoq"
    TRANSPARENT = "transparent"
    UDP = "udp"
    INJECT = "inject"
    EMIT = "emit"
    XSK = "xsk"
    XSK_MEMORY = "xsk-memory"
    XSK_PROGRAM = "xsk-program"
    XSK_TAKEN = "xsk-taken"


class Code(StrEnum):
    """Why a request was refused."""

    MALFORMED = "malformed"
    VERSION = "version"
    FORBIDDEN = "forbidden"
    UNSUPPORTED = "unsupported"
    LIMIT = "limit"
    FAILED = "failed"


class ProtocolError(Exception):
    """A message that cannot be accepted; `code` says what the peer is told."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`workers` counts the engine's workers, `transparent`, `udp` and `af_xdp` ask for those
    sockets too; all are about `sockets` only.
    """

    v: int = VERSION
    op: Operation
    workers: Annotated[int, msgspec.Meta(ge=1, le=MAX_WORKERS)] = 1
    transparent: bool | msgspec.UnsetType = msgspec.UNSET
    udp: bool | msgspec.UnsetType = msgspec.UNSET
    af_xdp: bool | msgspec.UnsetType = msgspec.UNSET


class SocketInfo(msgspec.Struct, frozen=True):
    """One passed socket: what it is for, the port it is bound to, the worker that shall read it
    (of roles `stoq` and `udp`; of `xsk` and `xsk-memory` the queue; else 0), and whether it is
    transparent (may use foreign addresses).
    """

    role: Role
    port: int
    worker: int = 0
    transparent: bool = False


class Hello(msgspec.Struct, frozen=True):
    """Who the broker is, which pod it serves, whether it has programmed capture there and what
    may be asked.
    """

    server: str
    pod: str
    namespace: str
    captured: bool
    operations: tuple[str, ...] = (Operation.HELLO, Operation.SOCKETS)


class AfXdp(msgspec.Struct, frozen=True, kw_only=True):
    """How what is passed for AF_XDP is made: the interface, entries of each ring, bytes of a chunk.
    With `refused`, which says why, nothing is passed.
    """

    interface: str = ""
    ring: int = 0
    chunk: int = 0
    refused: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing was done. `code` is a `Code`, or one that a later broker knows."""

    code: str
    message: str


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: `error` is filled, or what was asked for."""

    v: Annotated[int, msgspec.Meta(ge=0)]
    hello: Hello | None = None
    sockets: tuple[SocketInfo, ...] = ()
    af_xdp: AfXdp | None = None
    error: Refusal | None = None


class _Envelope(msgspec.Struct):
    v: int


def encode_request(request: Request) -> bytes:
    """The message for `request`."""
    return msgspec.msgpack.encode(request)


def decode_request(message: bytes) -> Request:
    """The request in `message`. Raises ProtocolError."""
    return _decode(message, Request)


def encode_reply(reply: Reply) -> bytes:
    """The message for `reply`."""
    return msgspec.msgpack.encode(reply)


def decode_reply(message: bytes) -> Reply:
    """The reply in `message`.

    Raises ProtocolError; a refusal by the broker is raised too, with the broker's code.
    """
    reply = _decode(message, Reply)
    if reply.error is not None:
        known = reply.error.code in list(Code)
        raise ProtocolError(Code(reply.error.code) if known else Code.FAILED, reply.error.message)
    return reply


_T = TypeVar("_T")


def _decode(message: bytes, kind: type[_T]) -> _T:
    if len(message) > MAX_MESSAGE:
        raise ProtocolError(Code.LIMIT, f"message of {len(message)} bytes, at most {MAX_MESSAGE}")
    try:
        # The version first: a field of another version must not look like a mistake in this one.
        version = msgspec.msgpack.decode(message, type=_Envelope).v
        if version != VERSION:
            raise ProtocolError(
                Code.VERSION, f"version {version} is not spoken here, only {VERSION}"
            )
        return msgspec.msgpack.decode(message, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(Code.MALFORMED, f"not a broker message: {error}") from error
