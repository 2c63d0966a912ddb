"""HOP frames (docs/wire-format.md, section 14): bytes in, values out."""

from dataclasses import dataclass

from stoq_reference.fields import NAME_LENGTH, address, bounded, counted, form_of, identity
from stoq_reference.head import Address
from stoq_reference.reader import Reader, varint

MAX_GATEWAYS = 8
MAX_INNER = 65527
MAX_LEAF = 8192
MAX_INNER_CID = BARE_ID = 16
NONCE = 8


@dataclass(frozen=True)
class Open:
    """A route over gateways (section 14)."""

    route: bytes
    position: int
    gateways: tuple[str, ...]
    destination: Address
    identity: str
    form = 0


@dataclass(frozen=True)
class Inner:
    """A packet on a route."""

    tunnel: int
    data: bytes
    form = 1


@dataclass(frozen=True)
class Origin:
    """The certificate (DER) of who began the route that follows."""

    leaf: bytes
    form = 2


@dataclass(frozen=True)
class Forward:
    """Packets shall go beside the tunnel; connection IDs are those of the inner connection."""

    id: bytes
    source: bytes
    destination: bytes
    form = 3


@dataclass(frozen=True)
class Forwarded:
    """They may."""

    id: bytes
    form = 4


@dataclass(frozen=True)
class Seen:
    """A probe with this nonce came beside the tunnel."""

    nonce: bytes
    form = 5


Hop = Open | Inner | Origin | Forward | Forwarded | Seen


def body(frame: Hop) -> bytes:
    """What is behind type and form."""
    match frame:
        case Open():
            gateways = b"".join(counted(name.encode()) for name in frame.gateways)
            route = frame.route + bytes([frame.position, len(frame.gateways)]) + gateways
            return route + frame.destination.encode() + counted(frame.identity.encode())
        case Inner():
            return varint(frame.tunnel) + counted(frame.data)
        case Origin():
            return counted(frame.leaf)
        case Forward():
            return frame.id + counted(frame.source) + counted(frame.destination)
        case Forwarded():
            return frame.id
        case Seen():
            return frame.nonce


def read(reader: Reader) -> Hop:
    """The frame behind its type."""
    form = form_of(reader, 0, 5)
    if form == 1:
        tunnel = reader.varint()
        length = bounded("length of a HOP", reader.varint(), 1, MAX_INNER)
        return Inner(tunnel, reader.take(length))
    if form == 2:
        return Origin(reader.take(bounded("length of a leaf", reader.varint(), 1, MAX_LEAF)))
    if form > 2:
        return _beside(reader, form)
    route, position = reader.take(NAME_LENGTH), reader.integer(1)
    bounded("position", position, 0, MAX_GATEWAYS - 1)
    count = bounded("number of gateways", reader.integer(1), 1, MAX_GATEWAYS)
    bounded("position", position, 0, count - 1)
    gateways = tuple(identity(reader) for _ in range(count))
    return Open(route, position, gateways, address(reader), identity(reader))


def _beside(reader: Reader, form: int) -> Forward | Forwarded | Seen:
    if form == 5:
        return Seen(reader.take(NONCE))
    id_ = reader.take(BARE_ID)
    return Forwarded(id_) if form == 4 else Forward(id_, _inner_cid(reader), _inner_cid(reader))


def _inner_cid(reader: Reader) -> bytes:
    length = bounded("length of a connection ID", reader.integer(1), 1, MAX_INNER_CID)
    return reader.take(length)
