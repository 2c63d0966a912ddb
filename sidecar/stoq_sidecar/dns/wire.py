"""DNS messages (RFC 1035, section 4): as little of them as is needed here. Pure.

Of what arrives only header, question and the size in the EDNS record are read. What is forwarded is
never decoded further, so that whatever a name server and a program agree on passes. Records are
written, never read. docs/decisions/0014 says why this is not a library's work.
"""

import struct
from dataclasses import dataclass
from typing import Final

HEADER: Final = 12
"""Bytes of the header."""

RESPONSE: Final = 0x8000
OPCODE: Final = 0x7800
AUTHORITATIVE: Final = 0x0400
TRUNCATED: Final = 0x0200
RECURSION_DESIRED: Final = 0x0100
RECURSION_AVAILABLE: Final = 0x0080
RCODE: Final = 0x000F

FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
REFUSED: Final = 5

CLASS_IN: Final = 1
TYPE_OPT: Final = 41

FIRST_NAME: Final = struct.pack("!H", 0xC000 | HEADER)
"""A pointer to the question's name, which keeps its spelling."""

MAX_NAME: Final = 255
MAX_LABEL: Final = 63

Labels = tuple[str, ...]
"""A name's labels in lower case, without the root; bytes outside ASCII become U+FFFD."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `end` is the offset after it."""

    labels: Labels
    type: int
    class_: int
    end: int


class Malformed(Exception):
    """The message has no header or no single readable question."""


def is_query(message: bytes) -> bool:
    """Whether a message is one that may be answered at all."""
    return len(message) >= HEADER and not _flags(message) & RESPONSE


def is_plain_query(message: bytes) -> bool:
    """Whether it is a query in the narrow sense (opcode 0)."""
    return not _flags(message) & OPCODE


def question(message: bytes) -> Question:
    """The message's only question. Raises Malformed."""
    if len(message) < HEADER or struct.unpack_from("!H", message, 4)[0] != 1:
        raise Malformed
    labels = []
    at = HEADER
    while True:
        if at >= len(message):
            raise Malformed
        size = message[at]
        at += 1
        if size == 0:
            break
        # Compression makes no sense in a first name, and could only point backwards.
        if size > MAX_LABEL or at + size > len(message) or at + size - HEADER > MAX_NAME:
            raise Malformed
        labels.append(message[at : at + size].decode("ascii", "replace").lower())
        at += size
    if at + 4 > len(message):
        raise Malformed
    kind, class_ = struct.unpack_from("!HH", message, at)
    return Question(tuple(labels), kind, class_, at + 4)


def rcode(message: bytes) -> int:
    """The response code in the header."""
    return _flags(message) & RCODE


def with_id(message: bytes, number: int) -> bytes:
    """The same message under another id."""
    return struct.pack("!H", number) + message[2:]


def id_of(message: bytes) -> int:
    """The message's id."""
    return int(struct.unpack_from("!H", message)[0])


def answers(reply: bytes, query: bytes) -> bool:
    """Whether `reply` is one to `query`: id, direction and the very question (RFC 5452, section 9).

    A server that could not read the query may leave the question out.
    """
    if len(reply) < HEADER or reply[:2] != query[:2] or not _flags(reply) & RESPONSE:
        return False
    try:
        end = question(query).end
    except Malformed:
        return True
    if struct.unpack_from("!H", reply, 4)[0] == 0:
        return rcode(reply) not in {0, NXDOMAIN}
    return reply[HEADER:end] == query[HEADER:end]


def failure(query: bytes, code: int) -> bytes:
    """A reply to `query` with nothing but a response code, and the question if it is readable."""
    try:
        asked = query[HEADER : question(query).end]
    except Malformed:
        asked = b""
    return reply_header(query, code, bool(asked), 0, 0, 0) + asked


def edns_payload(query: bytes, end: int) -> int | None:
    """Bytes of UDP that the client takes by its OPT record (RFC 6891, section 6.1.2), None without
    one. It is looked for behind the question, at `end`, which is where resolvers put it.
    """
    counts = struct.unpack_from("!HHH", query, 6)
    if counts[:2] != (0, 0) or counts[2] == 0 or len(query) < end + 5 or query[end] != 0:
        return None
    kind, size = struct.unpack_from("!HH", query, end + 1)
    return int(size) if kind == TYPE_OPT else None


def name(labels: Labels) -> bytes:
    """A name as it is written, without compression."""
    return b"".join(bytes([len(one)]) + one.encode("ascii") for one in labels) + b"\0"


def record(owner: bytes, kind: int, ttl: int, data: bytes, class_: int = CLASS_IN) -> bytes:
    """A resource record; `owner` is encoded already."""
    return owner + struct.pack("!HHIH", kind, class_, ttl, len(data)) + data


def reply_header(query: bytes, flags: int, *counts: int) -> bytes:
    """The header of a reply to `query`; `counts` are those of the four sections."""
    kept = _flags(query) & (OPCODE | RECURSION_DESIRED)
    return struct.pack(
        "!HHHHHH", id_of(query), RESPONSE | RECURSION_AVAILABLE | kept | flags, *counts
    )


def _flags(message: bytes) -> int:
    return int(struct.unpack_from("!H", message, 2)[0])
