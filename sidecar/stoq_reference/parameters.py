"""Our transport parameters (docs/wire-format.md, section 3)."""

from dataclasses import dataclass

from stoq_reference.errors import Malformed
from stoq_reference.reader import Reader, varint

BASE = 0x53544F5100
"""The id of `revision`; the others follow it."""
REVISION, EXTENSIONS, PACKET_RESERVE, MAX_SHARD, KEY_ID, PUBLIC_KEY = range(BASE, BASE + 6)

MAX_PACKET_RESERVE = 256
KEY_ID_LENGTH = 32
MAX_PUBLIC_KEY = 2048


@dataclass(frozen=True)
class Parameters:
    """What one endpoint says of itself."""

    revision: int = 1
    extensions: int = 0
    packet_reserve: int = 0
    max_shard: int = 0
    falcon_key_id: bytes | None = None
    falcon_key: bytes | None = None

    def encode(self) -> bytes:
        """The parameters, to be appended to QUIC's own; what is 0 or None is left out."""
        encoded = integer(REVISION, self.revision)
        for id_, value in (
            (EXTENSIONS, self.extensions),
            (PACKET_RESERVE, self.packet_reserve),
            (MAX_SHARD, self.max_shard),
        ):
            if value:
                encoded += integer(id_, value)
        for id_, key in ((KEY_ID, self.falcon_key_id), (PUBLIC_KEY, self.falcon_key)):
            if key is not None:
                encoded += _parameter(id_, key)
        return encoded


def _parameter(id_: int, value: bytes) -> bytes:
    return varint(id_) + varint(len(value)) + value


def integer(id_: int, value: int) -> bytes:
    """A transport parameter that is a number."""
    return _parameter(id_, varint(value))


def decode(block: bytes) -> Parameters | None:
    """What a peer's whole block of transport parameters says; None of a plain QUIC peer (P1).

    Raises Malformed where P2 has TRANSPORT_PARAMETER_ERROR.
    """
    reader = Reader(block, "transport parameters")
    ours: dict[int, bytes] = {}
    while reader.left:
        id_ = reader.varint()
        value = reader.take(reader.varint())
        if BASE <= id_ <= PUBLIC_KEY:
            if id_ in ours:
                raise Malformed(f"transport parameter {id_:#x} comes twice")
            ours[id_] = value
    if not ours:
        return None
    if REVISION not in ours:
        raise Malformed(f"transport parameter {min(ours):#x} without revision")
    parameters = Parameters(
        revision=_read_integer(ours, REVISION),
        extensions=_read_integer(ours, EXTENSIONS),
        packet_reserve=_read_integer(ours, PACKET_RESERVE),
        max_shard=_read_integer(ours, MAX_SHARD),
        falcon_key_id=ours.get(KEY_ID),
        falcon_key=ours.get(PUBLIC_KEY),
    )
    _check_bounds(parameters)
    return parameters


def _read_integer(ours: dict[int, bytes], id_: int) -> int:
    if id_ not in ours:
        return 0
    reader = Reader(ours[id_], f"transport parameter {id_:#x}")
    value = reader.varint()
    reader.end()
    return value


def _check_bounds(parameters: Parameters) -> None:
    if parameters.revision < 1:
        raise Malformed("revision 0: it is at least 1")
    if parameters.packet_reserve > MAX_PACKET_RESERVE:
        raise Malformed(f"packet reserve {parameters.packet_reserve}: at most {MAX_PACKET_RESERVE}")
    key_id, key = parameters.falcon_key_id, parameters.falcon_key
    if key_id is not None and len(key_id) != KEY_ID_LENGTH:
        raise Malformed(f"FALCON key id of {len(key_id)} bytes: it has {KEY_ID_LENGTH}")
    if key is not None and not 1 <= len(key) <= MAX_PUBLIC_KEY:
        raise Malformed(f"FALCON key of {len(key)} bytes: 1 to {MAX_PUBLIC_KEY}")
