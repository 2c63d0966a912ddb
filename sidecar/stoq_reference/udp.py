"""Captured UDP on the wire (docs/wire-format.md, section 17)."""

from stoq_reference.errors import Malformed
from stoq_reference.reader import Reader, Short, varint

FLOWS_BELOW = 0xFE000000
MAX_PAYLOAD = 65527


def datagram(flow: int, payload: bytes) -> bytes:
    """What a DATAGRAM frame carries for the flow of that stream."""
    return varint(flow) + payload


def split(received: bytes) -> tuple[int, bytes]:
    """Flow and payload of a datagram. Raises Malformed (U4, E4)."""
    reader = Reader(received, "datagram")
    flow = reader.varint()
    if flow >= FLOWS_BELOW:
        raise Malformed(f"a datagram begins with {flow:#x}, which is no flow")
    return flow, reader.take(reader.left)


def message(payload: bytes) -> bytes:
    """What a flow's stream carries for a payload that fits no datagram."""
    return varint(len(payload)) + payload


def take(stream: bytes) -> tuple[bytes, int] | None:
    """The first message and how far it reaches; None while it is not whole. Raises Malformed."""
    reader = Reader(stream, "UDP message")
    try:
        length = reader.varint()
        if length > MAX_PAYLOAD:
            raise Malformed(f"a UDP message of {length} bytes")
        return reader.take(length), reader.position
    except Short:
        return None
