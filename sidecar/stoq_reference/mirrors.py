"""Copies of flows for shadow peers (docs/wire-format.md, section 15)."""

from hashlib import sha256

from stoq_reference import carriers, frames
from stoq_reference.carriers import Agreed, Carrier
from stoq_reference.errors import Malformed
from stoq_reference.frames import WHOLE_SHARE, Seed
from stoq_reference.head import Address, Kind
from stoq_reference.peer import Peer
from stoq_reference.reader import Short
from stoq_reference.stream import Stream

FLOW = 1
"""The form of a SEED that raw bytes follow."""


def is_copied(id_: bytes, share: int) -> bool:
    """Whether a flow or transfer of this id is among `share` of ten thousand (M2)."""
    return int.from_bytes(sha256(id_).digest()[:8], "big") % WHOLE_SHARE < share


def begin(peer: Peer, seed: Seed, client: Address, shadow: Address) -> Stream:
    """A copy of a flow: what the original's client says goes behind it, as it is."""
    stream = peer.open(Kind.FRAMES, client, shadow)
    stream.send(frames.encode(seed))
    return stream


async def take(stream: Stream, agreed: Agreed) -> tuple[Seed, bytes]:
    """The copy that comes on a stream of kind 3, to its end; nothing is said to it but our own end
    (M3). Raises StreamFailed, and Malformed where the connection is to be closed with `protocol`.
    """
    received = await _begun(stream)
    frame, used = frames.decode(received)
    carriers.check(frame, Carrier.STREAM, agreed)
    if not isinstance(frame, Seed) or frame.form != FLOW:
        raise Malformed(f"{frames.type_of(frame).name} where the copy of a flow is due")
    said = received[used:] + await stream.read()
    stream.send(b"", end=True)
    return frame, said


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
