"""Copies of flows and objects for shadow peers (docs/wire-format.md, section 15)."""

from hashlib import sha256

from stoq_reference import carriers, frames
from stoq_reference.carriers import Agreed, Carrier
from stoq_reference.codes import StreamCode
from stoq_reference.errors import Malformed
from stoq_reference.frames import WHOLE_SHARE, Frame, Key, Manifest, Seed, Shard, Signature
from stoq_reference.head import Address, Kind
from stoq_reference.peer import Peer
from stoq_reference.reader import Short
from stoq_reference.shards import Assembly, Refused
from stoq_reference.signatures import KeyRing, said_by
from stoq_reference.stream import Stream

FLOW = 1
"""The form of a SEED that raw bytes follow."""

OBJECT = 2
"""The form of a SEED that shards follow."""


def is_copied(id_: bytes, share: int) -> bool:
    """Whether a flow or transfer of this id is among `share` of ten thousand (M2)."""
    return int.from_bytes(sha256(id_).digest()[:8], "big") % WHOLE_SHARE < share


def begin(peer: Peer, seed: Seed, client: Address, shadow: Address) -> Stream:
    """A copy of a flow: what the original's client says goes behind it, as it is."""
    stream = peer.open(Kind.FRAMES, client, shadow)
    stream.send(frames.encode(seed))
    return stream


def begin_object(peer: Peer, seed: Seed, shards: list[Shard]) -> Stream:
    """A copy of an object, to its end (M7). What is to be read of it is the end alone."""
    stream = peer.open(Kind.FRAMES)
    stream.send(b"".join(map(frames.encode, [seed, *shards])), end=True)
    return stream


async def take(peer: Peer, stream: Stream) -> tuple[Seed, bytes]:
    """The copy that comes on a stream of kind 3, to its end; nothing is said to it but our own end
    (M3). Raises StreamFailed, Refused when the stream was reset for what it brought, and Malformed
    where the connection is to be closed with `protocol`.
    """
    received = await _begun(stream)
    seed, rest = _decoded(received, peer.agreed)
    if not isinstance(seed, Seed):
        raise Malformed(f"{frames.type_of(seed).name} where a copy is due")
    said = rest + await stream.read()
    if seed.form == OBJECT:
        try:
            said = _object(peer, seed, said)
        except Refused as refused:
            stream.reset(refused.code)
            raise
    stream.send(b"", end=True)
    return seed, said


def _object(peer: Peer, seed: Seed, said: bytes) -> bytes:
    """The object that these frames are."""
    assembly, ring, signed = Assembly(), KeyRing.of(peer.endpoint), said_by(peer)
    while said:
        try:
            frame, said = _decoded(said, peer.agreed)
        except Short:
            raise Malformed(f"the stream ends {len(said)} bytes into a frame") from None
        if isinstance(frame, Key | Signature):
            ring.take(signed, frame)
            continue
        if not isinstance(frame, Shard):
            raise Malformed(f"{frames.type_of(frame).name} among the shards of a copy")
        if isinstance(frame, Manifest):
            signed.signed(frame)
        if frame.transfer != seed.id:
            raise Refused("a copy brings another object than it says")
        assembly.take(frame)
    if not assembly.whole:
        raise Refused("a copy ends before its object", code=StreamCode.INCOMPLETE)
    return assembly.delivered


def _decoded(data: bytes, agreed: Agreed) -> tuple[Frame, bytes]:
    frame, used = frames.decode(data)
    carriers.check(frame, Carrier.STREAM, agreed)
    return frame, data[used:]


async def _begun(stream: Stream) -> bytes:
    """What has come when the first frame is whole."""
    received = b""
    while data := await stream.recv():
        received += data
        try:
            frames.decode(received)
        except Short:
            continue
        return received
    raise Malformed(f"the stream ends {len(received)} bytes into a frame")
