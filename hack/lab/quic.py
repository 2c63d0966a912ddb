"""QUIC connections told apart on the wire, by somebody who holds no key. Pure.

Connections between the same two sockets differ only in their connection ids. Those are readable
while a handshake goes on (RFC 9000 section 17.2). Towards the side that was dialled the same id
names the connection afterwards, too (section 17.3); STOQ's have 8 bytes (docs/wire-format.md,
section 4).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from lab.handshakes import Address
from lab.packets import UDP, Packet

ID_BYTES: Final = 8

_LONG: Final = 0x80
_RETRY: Final = 3


@dataclass(slots=True)
class Connection:
    """One connection, from the first answer of the side that was dialled."""

    dialler: Address
    listener: Address
    opened: float
    """Seconds since the epoch."""
    to_listener: bytes
    """The connection id in packets towards the listener."""
    sent: list[tuple[float, int]] = field(default_factory=list)
    """What went to the listener after the handshake: seconds since the epoch, UDP payload bytes."""

    def bytes_until(self, moment: float) -> int:
        """UDP payload that went to the listener before `moment`."""
        return sum(size for time, size in self.sent if time < moment)


def connections(packets: Iterable[tuple[float, Packet]], port: int) -> list[Connection]:
    """The connections dialled to `port`, in the order in which they were answered.

    `packets` are (time in seconds, packet) in capture order, each packet once.
    """
    asked: set[bytes] = set()
    found: dict[bytes, Connection] = {}
    for time, packet in packets:
        if packet.protocol != UDP or packet.source is None or packet.destination is None:
            continue
        if not packet.payload:
            continue
        if not packet.payload[0] & _LONG:
            known = found.get(packet.payload[1 : 1 + ID_BYTES])
            if known is not None:
                known.sent.append((time, len(packet.payload)))
            continue
        ids = _ids(packet.payload)
        if ids is None:
            continue
        destination, source = ids
        if destination not in asked:
            if packet.destination_port == port:
                asked.add(source)
        elif packet.source_port == port and source not in found:
            found[source] = Connection(packet.destination, packet.source, time, source)
    return list(found.values())


def _ids(payload: bytes) -> tuple[bytes, bytes] | None:
    """Destination and source of a long header; None for what is cut short, and for a Retry, whose
    ids are not the connection's.
    """
    if (payload[0] >> 4) & 3 == _RETRY or len(payload) < 6:
        return None
    end = 6 + payload[5]
    if end >= len(payload):
        return None
    source = payload[end + 1 : end + 1 + payload[end]]
    return (payload[6:end], source) if len(source) == payload[end] == ID_BYTES else None
