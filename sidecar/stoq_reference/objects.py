"""Objects over streams of kind 3 (docs/wire-format.md, sections 11 and 13)."""

from collections.abc import AsyncIterator

from stoq_reference import carriers, frames
from stoq_reference.carriers import Agreed, Carrier
from stoq_reference.errors import Malformed
from stoq_reference.frames import Frame, Manifest, Shard, Want
from stoq_reference.head import Kind
from stoq_reference.peer import Peer
from stoq_reference.reader import Short
from stoq_reference.shards import Assembly
from stoq_reference.stream import Stream


async def frames_of(stream: Stream, agreed: Agreed) -> AsyncIterator[Frame]:
    """The frames of the peer's direction, to its end. Raises StreamFailed, and Malformed where the
    connection is to be closed with `protocol`.
    """
    rest = b""
    while data := await stream.recv():
        rest += data
        while rest:
            try:
                frame, used = frames.decode(rest)
            except Short:
                break
            carriers.check(frame, Carrier.STREAM, agreed)
            rest = rest[used:]
            yield frame
    if rest:
        raise Malformed(f"the stream ends {len(rest)} bytes into a frame")


def begin(peer: Peer, shards: list[Shard]) -> Stream:
    """A lane: a stream with these frames, which stays open for the receiver's answers."""
    stream = peer.open(Kind.FRAMES)
    for shard in shards:
        stream.send(frames.encode(shard))
    return stream


async def whole(stream: Stream, agreed: Agreed) -> list[Want]:
    """What the receiver says on a lane until it has all of the object (D13).

    Raises StreamFailed, and Malformed for an answer that is none.
    """
    said: list[Want] = []
    async for frame in frames_of(stream, agreed):
        if not isinstance(frame, Want):
            raise Malformed(f"{frames.type_of(frame).name} where a want is due")
        said.append(frame)
        if not frame.ranges:
            return said
    raise Malformed("the receiver ended without saying that it has all")


async def receive(stream: Stream, agreed: Agreed, assembly: Assembly) -> None:
    """Takes what one lane brings into `assembly`, and answers it. Raises StreamFailed, and Refused
    for what the object cannot have.
    """
    async for frame in frames_of(stream, agreed):
        if not isinstance(frame, Shard):
            raise Malformed(f"{frames.type_of(frame).name} among shards")
        assembly.take(frame)
        if isinstance(frame, Manifest) or assembly.whole:
            stream.send(frames.encode(assembly.want(frame.transfer)))
        if assembly.whole:
            stream.send(b"", end=True)
            return
