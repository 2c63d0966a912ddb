"""How many round trips a handshake took, read from a capture by somebody who holds no key.

QUIC's long headers (RFC 9000 section 17.2) show which packets are Initial and Handshake, and the
first short header from the dialler shows when it could send application data. Every wait of the
dialler for the other side is a change of direction on the wire, so counting those changes before
that moment gives the round trips; an acknowledgement that happens to fall between two datagrams
of one answer can only make the figure larger, never smaller.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from lab.packets import UDP, Packet

Address = IPv6Address | IPv4Address


class Form(Enum):
    """What stands in a datagram, as far as a stranger can see."""

    INITIAL = 0
    ZERO_RTT = 1
    HANDSHAKE = 2
    RETRY = 3
    ONE_RTT = 4


@dataclass(frozen=True, slots=True)
class Handshake:
    """One handshake seen on the wire."""

    dialler: Address
    listener: Address
    port: int
    """The UDP port that was dialled."""
    started: float
    """Seconds since the epoch, of the dialler's first Initial."""
    round_trips: int
    """Before the dialler's first 1-RTT packet."""
    seconds: float
    """From the first Initial to that packet, as the capture's clock saw it."""
    client_bytes: int
    """UDP payload of the dialler until then, that packet's datagram included."""
    server_bytes: int
    """UDP payload of the listener until then: its flight."""


@dataclass(slots=True)
class _Open:
    started: float
    last_from_dialler: bool = True
    round_trips: int = 0
    client_bytes: int = 0
    server_bytes: int = 0


def forms(datagram: bytes) -> list[Form]:
    """The packets coalesced in a datagram (or in a burst of datagrams captured as one).

    Stops at the first short header, which has no length, and at anything that is not QUIC v1.
    """
    found = []
    position = 0
    while position < len(datagram):
        if not datagram[position] & 0x80:
            found.append(Form.ONE_RTT)
            break
        form = Form((datagram[position] >> 4) & 0x03)
        found.append(form)
        end = None if form is Form.RETRY else _end_of_long(datagram, position, form)
        if end is None:
            break
        position = end
    return found


def _end_of_long(datagram: bytes, position: int, form: Form) -> int | None:
    try:
        if datagram[position + 1 : position + 5] != b"\x00\x00\x00\x01":
            return None
        position += 5
        for _ in ("destination", "source"):
            position += 1 + datagram[position]
        if form is Form.INITIAL:
            token, position = _varint(datagram, position)
            position += token
        length, position = _varint(datagram, position)
    except IndexError:
        return None
    return position + length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    size = 1 << (data[position] >> 6)
    if position + size > len(data):
        raise IndexError
    value = int.from_bytes(data[position : position + size]) & ((1 << (8 * size - 2)) - 1)
    return value, position + size


def handshakes(packets: Iterable[tuple[float, Packet]], ports: tuple[int, ...]) -> list[Handshake]:
    """Every completed handshake towards one of `ports`, in the order of their ends.

    `packets` are (time in seconds, packet) in capture order, each packet once.
    """
    waiting: dict[tuple[object, ...], _Open] = {}
    done = []
    for time, packet in packets:
        if packet.protocol != UDP or packet.source is None or packet.destination is None:
            continue
        seen = forms(packet.payload)
        there = (packet.source, packet.source_port, packet.destination, packet.destination_port)
        back = (*there[2:], *there[:2])
        if back in waiting and packet.source_port in ports:
            _answered(waiting[back], len(packet.payload))
        elif packet.destination_port in ports:
            if there not in waiting:
                if seen[:1] == [Form.INITIAL]:
                    waiting[there] = _Open(time, client_bytes=len(packet.payload))
                continue
            attempt = waiting[there]
            attempt.last_from_dialler = True
            attempt.client_bytes += len(packet.payload)
            if Form.ONE_RTT in seen:
                del waiting[there]
                done.append(
                    Handshake(
                        packet.source,
                        packet.destination,
                        packet.destination_port or 0,
                        attempt.started,
                        attempt.round_trips,
                        time - attempt.started,
                        attempt.client_bytes,
                        attempt.server_bytes,
                    )
                )
    return done


def _answered(attempt: _Open, size: int) -> None:
    attempt.server_bytes += size
    if attempt.last_from_dialler:
        attempt.round_trips += 1
        attempt.last_from_dialler = False
