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

MAX_PEERS: Final = 256
"""Other pods of a node that a sidecar may want to be joined with; a node has 110 by default."""

MAX_PORTS: Final = 64
"""Of one of them, each way."""

MAX_ADDRESSES: Final = 8
"""Of one of them."""

MAX_ID: Final = 2048
"""Bytes of a SPIFFE id (SPIFFE-ID, 2.3)."""

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
    SPLICE = "splice"


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


Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Ports = Annotated[tuple[Port, ...], msgspec.Meta(max_length=MAX_PORTS)]
Id = Annotated[str, msgspec.Meta(max_length=MAX_ID)]


class Peer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another pod, as the sidecar knows it by a STOQ connection that it has with it now."""

    spiffe_id: Id
    """What it has proven to be."""
    addresses: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_ADDRESSES)]
    """Those that the registry binds to that id."""
    dials: Ports = ()
    """Its ports that the pod may dial past the sidecars."""
    admits: Ports = ()
    """Ports of the pod that it may dial so: access policies admit it there."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """With whom a pod agrees to be joined; it replaces the offer before."""

    spiffe_id: Id
    """The pod's own."""
    peers: Annotated[tuple[Peer, ...], msgspec.Meta(max_length=MAX_PEERS)] = ()


class Spliced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an offer."""

    seconds: Annotated[float, msgspec.Meta(gt=0)]
    """For which it holds; it is to be made again before."""
    pairs: Annotated[int, msgspec.Meta(ge=0)]
    """Of addresses and a port that are joined now, the pod's all together."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`workers` counts the engine's workers, `transparent`, `udp` and `af_xdp` ask for those
    sockets too; all are about `sockets` only. `offer` is about `splice` only, which needs it.
    """

    v: int = VERSION
    op: Operation
    workers: Annotated[int, msgspec.Meta(ge=1, le=MAX_WORKERS)] = 1
    transparent: bool | msgspec.UnsetType = msgspec.UNSET
    udp: bool | msgspec.UnsetType = msgspec.UNSET
    af_xdp: bool | msgspec.UnsetType = msgspec.UNSET
    offer: Offer | msgspec.UnsetType = msgspec.UNSET


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
    """How what is passed for AF_XDP is made: the interface, entries of each ring, bytes of a chunk,
    and whether a frame may take several of these (`scattered`). `left` says why larger frames are
    left to the stack, if they are. With `refused`, which says why, nothing is passed.
    """

    interface: str = ""
    ring: int = 0
    chunk: int = 0
    scattered: bool = False
    left: str = ""
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
    spliced: Spliced | None = None
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
