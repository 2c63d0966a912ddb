"""What brings frames, and what of them two endpoints may use (docs/wire-format.md, section 11)."""

from dataclasses import dataclass
from enum import Enum, IntFlag

from stoq_reference import frames, udp
from stoq_reference.errors import Malformed
from stoq_reference.frames import Frame, PacketToken, Type
from stoq_reference.parameters import Parameters
from stoq_reference.reader import Reader, Short

MIN_TOKEN_RESERVE = 25
"""Bytes of reserve that tokens in packets need (T5)."""


class Extension(IntFlag):
    """Bits of the transport parameter `extensions`."""

    STREAM_TOKENS = 1
    PACKET_TOKENS = 2
    SHARDS = 4
    HOPS = 8
    SEEDS = 16
    SIGNATURES = 32
    CAPTURED_UDP = 64
    SIGNED_ROUTES = 128
    FORWARDED = 256
    """Packets beside tunnels."""
    STRIPES = 512
    """Flows over several connections: lanes have streams of their own kind, and no frame."""


STREAM_FRAMES = Extension.SHARDS | Extension.HOPS | Extension.SEEDS | Extension.SIGNATURES
"""Those whose frames come on streams of kind 3 (S5)."""

DATAGRAMS = Extension.SHARDS | Extension.HOPS | Extension.CAPTURED_UDP
"""Those that have something in DATAGRAM frames."""


class Carrier(Enum):
    """What a frame comes in."""

    PACKET = "packet"
    DATAGRAM = "datagram"
    STREAM = "stream"


_PACKET, _STREAM = {Carrier.PACKET}, {Carrier.STREAM}
_ANY = {Carrier.DATAGRAM, Carrier.STREAM}
# Of several bits, one has to be in use.
_TABLE: dict[tuple[Type, int], tuple[Extension, set[Carrier]]] = {
    (Type.TOKEN, 1): (Extension.STREAM_TOKENS, _STREAM),
    (Type.TOKEN, 2): (Extension.STREAM_TOKENS, _STREAM),
    (Type.TOKEN, 3): (Extension.PACKET_TOKENS, _PACKET),
    (Type.SHARD, 0): (Extension.SHARDS, _STREAM),
    (Type.SHARD, 1): (Extension.SHARDS, _ANY),
    (Type.SHARD, 2): (Extension.SHARDS, _ANY),
    (Type.SHARD, 3): (Extension.SHARDS, _STREAM),
    (Type.HOP, 0): (Extension.HOPS, _STREAM),
    (Type.HOP, 1): (Extension.HOPS, _ANY),
    (Type.HOP, 2): (Extension.SIGNED_ROUTES, _STREAM),
    **{(Type.HOP, form): (Extension.FORWARDED, _STREAM) for form in (3, 4, 5)},
    **{(Type.SEED, form): (Extension.SEEDS, _STREAM) for form in (1, 2)},
    **{(Type.FALCON_SIGNATURE, form): (Extension.SIGNATURES, _STREAM) for form in (1, 3, 4)},
    (Type.FALCON_SIGNATURE, 2): (Extension.SIGNATURES | Extension.SIGNED_ROUTES, _STREAM),
    **{(Type.FALCON_KEY, form): (Extension.SIGNATURES, _STREAM) for form in (0, 1, 2, 3)},
}


NONE = Extension(0)


@dataclass(frozen=True)
class Agreed:
    """What a connection may use."""

    extensions: Extension = NONE
    reserve: int = 0
    send_shard: int = 0
    receive_shard: int = 0

    @classmethod
    def of(cls, ours: Parameters, theirs: Parameters | None) -> "Agreed":
        """The intersection of what both sides announced (P1, P4, P5, E3)."""
        if theirs is None:
            return cls()
        both = Extension(ours.extensions & theirs.extensions & sum(Extension))
        shards = Extension.SHARDS in both
        return cls(
            extensions=both,
            reserve=min(ours.packet_reserve, theirs.packet_reserve),
            send_shard=theirs.max_shard if shards else 0,
            receive_shard=ours.max_shard if shards else 0,
        )

    @property
    def packet_tokens(self) -> bool:
        """Whether each packet has a token (T5)."""
        return Extension.PACKET_TOKENS in self.extensions and self.reserve >= MIN_TOKEN_RESERVE


def check(frame: Frame, carrier: Carrier, agreed: Agreed) -> None:
    """Whether a frame may come so (E1, D1). Raises Malformed: `protocol`."""
    type_ = frames.type_of(frame)
    name = f"{type_.name} of form {frame.form}"
    extension, carriers = _TABLE[type_, frame.form]
    if carrier not in carriers:
        raise Malformed(f"{name} in a {carrier.value}")
    if not extension & agreed.extensions:
        raise Malformed(f"{name}, whose extension is not in use")
    match frame:
        case frames.ObjectData(data=data) | frames.BulkData(data=data):
            length = len(data)
        case frames.Manifest():
            length = max(frame.shard_size, 1)
        case _:
            return
    if length > agreed.receive_shard:
        raise Malformed(f"SHARD of {length} bytes: this endpoint takes {agreed.receive_shard}")


def datagram(data: bytes, agreed: Agreed) -> Frame | tuple[int, bytes]:
    """The one frame of a datagram, or flow and payload of captured UDP (E4). Raises Malformed."""
    if Reader(data, "datagram").varint() < udp.FLOWS_BELOW:
        if Extension.CAPTURED_UDP not in agreed.extensions:
            raise Malformed("captured UDP in a datagram, whose extension is not in use")
        return udp.split(data)
    frame, used = frames.decode(data)
    if used != len(data):
        raise Malformed(f"{len(data) - used} bytes after the frame of a datagram")
    check(frame, Carrier.DATAGRAM, agreed)
    return frame


def packet(payload: bytes, agreed: Agreed) -> tuple[bytes, PacketToken | None]:
    """QUIC's part of a packet's payload, and the token in the reserve (E3). Raises Malformed."""
    if len(payload) < agreed.reserve:
        raise Malformed(f"payload of {len(payload)} bytes, {agreed.reserve} are reserved")
    end = len(payload) - agreed.reserve
    rest, token = payload[end:], None
    while rest and rest[0]:
        try:
            frame, used = frames.decode(rest)
        except Short as short:
            raise Malformed(f"reserve: {short}") from short
        check(frame, Carrier.PACKET, agreed)
        if token is not None:
            raise Malformed("two TOKEN in a packet")
        assert isinstance(frame, PacketToken)
        token, rest = frame, rest[used:]
    if any(rest):
        raise Malformed("the reserve does not end with zeros")
    return payload[:end], token


def packed(payload: bytes, token: PacketToken | None, agreed: Agreed) -> bytes:
    """A packet's payload with its reserve. Raises ValueError where the token does not fit."""
    encoded = frames.encode(token) if token else b""
    if len(encoded) > agreed.reserve:
        raise ValueError(f"token of {len(encoded)} bytes, {agreed.reserve} are reserved")
    return payload + encoded.ljust(agreed.reserve, b"\0")
