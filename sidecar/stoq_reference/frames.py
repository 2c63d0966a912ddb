"""Frames (docs/wire-format.md, sections 11 to 16): bytes in, values out.

What a frame means is in `tokens`, `shards`, `hops`, `mirrors`, `origins` and `signatures`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from stoq_reference import hop_frames
from stoq_reference.errors import Malformed
from stoq_reference.fields import NAME_LENGTH as NAME_LENGTH
from stoq_reference.fields import bounded, counted, form_of, identity
from stoq_reference.hop_frames import MAX_LEAF, Hop
from stoq_reference.hop_frames import Forward as Forward
from stoq_reference.hop_frames import Forwarded as Forwarded
from stoq_reference.hop_frames import Inner as Inner
from stoq_reference.hop_frames import Open as Open
from stoq_reference.hop_frames import Origin as Origin
from stoq_reference.hop_frames import Seen as Seen
from stoq_reference.reader import MAX_VARINT, Reader, varint

MAX_TOKEN_DATA = 65536
MAX_SHARD_DATA = 1 << 20
MAX_SHARDS = 4096
MAX_RANGES = 256
WHOLE_SHARE = 10000
DIGEST = ID = 32
PACKET_TAG = 16

REVOKE = 2
"""The form of a FALCON_KEY that takes a key back."""

CERTIFICATE = 3
"""The form of a FALCON_KEY that says who signs."""

SIGNATURE_LABEL = b"STOQ frame signature v1\0"


class Type(IntEnum):
    """Code points."""

    TOKEN = 0xFE000001
    SHARD = 0xFE000002
    HOP = 0xFE000003
    SEED = 0xFE000004
    FALCON_SIGNATURE = 0xFE000005
    FALCON_KEY = 0xFE000006


@dataclass(frozen=True)
class Token:
    """HMAC over what follows on a stream (section 12): forms 1 and 2."""

    form: int
    sequence: int
    length: int
    tag: bytes


@dataclass(frozen=True)
class PacketToken:
    """The first half of an HMAC over the packet it is in (section 12)."""

    tag: bytes
    form: int = field(default=3, init=False)


@dataclass(frozen=True)
class Manifest:
    """What a transfer is made of (section 13); `shard_size` 0: a bulk transfer."""

    transfer: bytes
    size: int
    shard_size: int
    digest: bytes
    digests: tuple[bytes, ...] = ()
    form = 0


@dataclass(frozen=True)
class ObjectData:
    """A shard of an object."""

    transfer: bytes
    offset: int
    data: bytes
    form = 1


@dataclass(frozen=True)
class BulkData:
    """A shard of a bulk transfer."""

    transfer: bytes
    offset: int
    digest: bytes
    data: bytes
    form = 2


@dataclass(frozen=True)
class Want:
    """Offsets and lengths of what is missing."""

    transfer: bytes
    ranges: tuple[tuple[int, int], ...]
    form = 3


@dataclass(frozen=True)
class Seed:
    """The head of a mirror (section 15)."""

    form: int
    id: bytes
    share: int
    primary: str


@dataclass(frozen=True)
class Signature:
    """Who vouches for something (section 16)."""

    subject: int
    key_id: bytes
    until: int
    digest: bytes
    signature: bytes

    @property
    def form(self) -> int:
        """What the table of section 11 goes by."""
        return self.subject

    def signed(self) -> bytes:
        """The bytes that the key signs."""
        until = self.until.to_bytes(8, "big")
        return SIGNATURE_LABEL + bytes([self.subject]) + until + self.digest


@dataclass(frozen=True)
class Key:
    """A key, announced (0), put in the place of another (1), taken back (2); or who signs (3)."""

    form: int
    old: bytes = b""
    key: bytes = b""
    """The encoded key; of form 3 the certificate, DER."""


Shard = Manifest | ObjectData | BulkData | Want
Frame = Token | PacketToken | Shard | Hop | Seed | Signature | Key


def type_of(frame: Frame) -> Type:
    """The code point of a frame."""
    match frame:
        case Token() | PacketToken():
            return Type.TOKEN
        case Open() | Inner() | Origin() | Forward() | Forwarded() | Seen():
            return Type.HOP
        case Seed():
            return Type.SEED
        case Signature():
            return Type.FALCON_SIGNATURE
        case Key():
            return Type.FALCON_KEY
        case _:
            return Type.SHARD


def encode(frame: Frame) -> bytes:
    """A frame's bytes. What is written must be within the bounds: a receiver refuses the rest."""
    head = varint(type_of(frame)) + bytes([frame.form])
    match frame:
        case Token():
            return head + varint(frame.sequence) + varint(frame.length) + frame.tag
        case PacketToken():
            return head + frame.tag
        case Manifest():
            sizes = varint(frame.size) + varint(frame.shard_size)
            return head + frame.transfer + sizes + frame.digest + b"".join(frame.digests)
        case ObjectData():
            return head + frame.transfer + varint(frame.offset) + counted(frame.data)
        case BulkData():
            place = varint(frame.offset) + frame.digest
            return head + frame.transfer + place + counted(frame.data)
        case Want():
            ranges = (varint(offset) + varint(length) for offset, length in frame.ranges)
            return head + frame.transfer + varint(len(frame.ranges)) + b"".join(ranges)
        case Open() | Inner() | Origin() | Forward() | Forwarded() | Seen():
            return head + hop_frames.body(frame)
        case Seed():
            share = frame.share.to_bytes(2, "big")
            return head + frame.id + share + counted(frame.primary.encode())
        case Signature():
            covered = frame.key_id + varint(frame.until) + frame.digest
            return head + covered + counted(frame.signature)
        case Key():
            return head + frame.old + (counted(frame.key) if frame.form != REVOKE else b"")


def decode(data: bytes) -> tuple[Frame, int]:
    """The frame at the front of `data`, and its length. Raises `Short` and `Malformed` (E2)."""
    reader = Reader(data, "frame")
    value = reader.varint()
    if reader.position != len(varint(value)):
        raise Malformed(f"frame type {value:#x} in {reader.position} bytes")
    read = _READERS.get(value)
    if read is None:
        raise Malformed(f"frame type {value:#x} is not defined")
    return read(reader), reader.position


def _token(reader: Reader) -> Token | PacketToken:
    form = form_of(reader, 1, 3)
    if form == PacketToken.form:
        return PacketToken(reader.take(PACKET_TAG))
    sequence = reader.varint()
    length = bounded("length of a TOKEN", reader.varint(), 1, MAX_TOKEN_DATA)
    return Token(form, sequence, length, reader.take(DIGEST))


def _range(offset: int, length: int, most: int) -> None:
    bounded("length of a SHARD", length, 1, most)
    bounded("end of a SHARD", offset + length, 1, MAX_VARINT)


def _data(reader: Reader, offset: int) -> bytes:
    length = reader.varint()
    _range(offset, length, MAX_SHARD_DATA)
    return reader.take(length)


def _shard(reader: Reader) -> Shard:
    form = form_of(reader, 0, 3)
    transfer = reader.take(NAME_LENGTH)
    if form == 0:
        size = reader.varint()
        shard_size = bounded("shard size", reader.varint(), 0, MAX_SHARD_DATA)
        count = -(-size // shard_size) if shard_size else 0
        bounded("number of shards", count, 0, MAX_SHARDS)
        digest = reader.take(DIGEST)
        digests = tuple(reader.take(DIGEST) for _ in range(count))
        return Manifest(transfer, size, shard_size, digest, digests)
    if form == 3:
        return Want(transfer, _ranges(reader))
    offset = reader.varint()
    if form == 1:
        return ObjectData(transfer, offset, _data(reader, offset))
    return BulkData(transfer, offset, reader.take(DIGEST), _data(reader, offset))


def _ranges(reader: Reader) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for _ in range(bounded("number of ranges", reader.varint(), 0, MAX_RANGES)):
        offset, length = reader.varint(), reader.varint()
        _range(offset, length, MAX_VARINT)
        if found and offset <= sum(found[-1]):
            raise Malformed(f"a range at {offset} after one that ends at {sum(found[-1])}")
        found.append((offset, length))
    return tuple(found)


def _seed(reader: Reader) -> Seed:
    form, id_ = form_of(reader, 1, 2), reader.take(NAME_LENGTH)
    share = bounded("share", reader.integer(2), 1, WHOLE_SHARE)
    return Seed(form, id_, share, identity(reader))


def _shaped(reader: Reader, what: str, shapes: dict[int, int]) -> bytes:
    """What has one of two lengths, each with its first byte (H5)."""
    length = reader.varint()
    if length not in shapes:
        raise Malformed(f"{what} of {length} bytes: {sorted(shapes)}")
    data = reader.take(length)
    bounded(f"first byte of a {what}", data[0], shapes[length], shapes[length])
    return data


def _signature(reader: Reader) -> Signature:
    subject = form_of(reader, 1, 4)
    key_id, until, digest = reader.take(ID), reader.varint(), reader.take(DIGEST)
    shapes = {666: 0x39, 1280: 0x3A}
    return Signature(subject, key_id, until, digest, _shaped(reader, "signature", shapes))


def _key(reader: Reader) -> Key:
    form = form_of(reader, 0, 3)
    if form == CERTIFICATE:
        length = bounded("length of a certificate", reader.varint(), 1, MAX_LEAF)
        return Key(form, key=reader.take(length))
    old = reader.take(ID) if form > 0 else b""
    return Key(form, old, _shaped(reader, "key", {897: 9, 1793: 10}) if form < REVOKE else b"")


_READERS: dict[int, Callable[[Reader], Frame]] = {
    Type.TOKEN: _token,
    Type.SHARD: _shard,
    Type.HOP: hop_frames.read,
    Type.SEED: _seed,
    Type.FALCON_SIGNATURE: _signature,
    Type.FALCON_KEY: _key,
}
