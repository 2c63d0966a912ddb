"""Objects over streams of kind 3 (docs/wire-format.md, sections 11 and 13)."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from stoq_reference import carriers, frames, signatures
from stoq_reference.carriers import Agreed, Carrier, Extension
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.endpoint import Identity
from stoq_reference.errors import Malformed
from stoq_reference.frames import (
    NAME_LENGTH,
    BulkData,
    Frame,
    Key,
    Manifest,
    ObjectData,
    Shard,
    Signature,
    Want,
)
from stoq_reference.head import Kind
from stoq_reference.peer import Peer
from stoq_reference.reader import MAX_VARINT, Short
from stoq_reference.shards import Assembly, Early, Refused, split
from stoq_reference.signatures import KeyRing, Said, said_by
from stoq_reference.stream import Stream, StreamFailed

PATIENCE = 10.0
"""Seconds that a stream waits for the manifest of its data (D2)."""


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


def begin(peer: Peer, sent: Sequence[Frame]) -> Stream:
    """A lane: a stream with these frames, which stays open for the receiver's answers."""
    stream = peer.open(Kind.FRAMES)
    for frame in sent:
        stream.send(frames.encode(frame))
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


async def ask(peer: Peer, transfer: bytes, *, signer: str | None = None) -> bytes:
    """The object that the peer holds (D15), which `signer` must have signed, if it is said.

    Raises StreamFailed, Refused for an answer that is not the object, and Malformed for none.
    """
    stream = peer.open(Kind.FRAMES)
    stream.send(frames.encode(Want(transfer, ((0, MAX_VARINT),))), end=True)
    assembly = Assembly()
    ring, said = KeyRing.of(peer.endpoint), said_by(peer)
    async for frame in frames_of(stream, peer.agreed):
        if isinstance(frame, Key | Signature):
            ring.take(said, frame)
            continue
        if not isinstance(frame, Shard):
            raise Malformed(f"{frames.type_of(frame).name} among shards")
        if isinstance(frame, Manifest):
            _require(signer, said.signed(frame))
        if frame.transfer != transfer:
            stream.reset(StreamCode.BAD_SHARD)
            raise Refused("another object than the one that was asked for")
        assembly.take(frame)
    if not assembly.whole:
        raise Refused("the answer ends before the object", code=StreamCode.INCOMPLETE)
    return assembly.delivered


def _require(signer: str | None, found: str | None) -> None:
    if signer not in (None, found):
        raise signatures.refused(f"the object is signed by {found or 'nobody'}, not by {signer}")


async def send(
    peers: list[Peer],
    data: bytes,
    shard_size: int,
    transfer: bytes | None = None,
    *,
    signer: Identity | None = None,
) -> None:
    """Sends an object, with a lane on each of these connections, and returns when the receiver has
    all of it. One that was sent before as `transfer` goes on with what is missing (D11). `signer`
    signs it.

    Raises StreamFailed, and Malformed for an answer that is none.
    """
    manifest, *shards = split(transfer or secrets.token_bytes(NAME_LENGTH), data, shard_size)
    assert isinstance(manifest, Manifest)
    now = peers[0].endpoint.clock()
    proof = signatures.prove(signer, manifest, now) if signer else []
    count = len(peers)
    shares = (shards[lane::count] for lane in range(count))
    await asyncio.gather(
        *(_send(peer, [*proof, manifest], share) for peer, share in zip(peers, shares, strict=True))
    )


async def _send(peer: Peer, first: list[Frame], share: list[Shard]) -> None:
    """One lane: its share goes when the first answer says that there is room."""
    stream = begin(peer, first)
    async for frame in frames_of(stream, peer.agreed):
        if not isinstance(frame, Want):
            raise Malformed(f"{frames.type_of(frame).name} where a want is due")
        for shard in share:
            if isinstance(shard, ObjectData) and _wanted(shard, frame):
                stream.send(frames.encode(shard))
        share = []
        if not frame.ranges:
            stream.send(b"", end=True)
            return
    raise Malformed("the receiver ended without saying that it has all")


def _wanted(shard: ObjectData, want: Want) -> bool:
    """Whether a shard has bytes of what is wanted."""
    end = shard.offset + len(shard.data)
    return any(at < end and shard.offset < at + length for at, length in want.ranges)


@dataclass
class _Lane:
    """A stream that brings transfers, and what is still to be answered on it."""

    stream: Stream
    said: Said
    signatures: bool
    """Whether they are in use."""
    asked: set[bytes] = field(default_factory=set)
    """Transfers whose manifest came on it, and that are not whole."""
    over: bool = False
    """Whether the sender has ended its direction."""

    def say(self, want: Want) -> None:
        """Says what is missing (D11)."""
        if not want.ranges:
            self.asked.discard(want.transfer)
        with suppress(StreamFailed):
            self.stream.send(frames.encode(want), end=self.over and not self.asked)

    def ended(self) -> None:
        """The sender has ended its direction; ours ends when everything is answered (D13)."""
        self.over = True
        if not self.asked:
            with suppress(StreamFailed):
                self.stream.send(b"", end=True)


@dataclass
class _Transfer:
    """One that comes in, and the streams that its receiver answers on."""

    assembly: Assembly = field(default_factory=Assembly)
    lanes: list[_Lane] = field(default_factory=list)
    known: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is a manifest."""
    shown: list[Frame] = field(default_factory=list)
    """What its signer is known by."""


class Receiver:
    """Takes what peers send, objects and bulk transfers, from any of their connections."""

    def __init__(
        self, patience: float = PATIENCE, *, holds: bool = False, signer: str | None = None
    ) -> None:
        """`patience`: seconds that data waits for its manifest (D2). `holds`: peers may ask for
        objects that have come (D15). `signer`: who must have signed objects.
        """
        self._patience = patience
        self._holds = holds
        self._signer = signer
        self._ring: KeyRing | None = None
        self._transfers: dict[bytes, _Transfer] = {}
        self.whole: asyncio.Queue[bytes] = asyncio.Queue()
        """Those that have come whole."""

    @property
    def repeated(self) -> int:
        """Frames that brought what was there (D8)."""
        return sum(transfer.assembly.repeated for transfer in self._transfers.values())

    async def lane(self, peer: Peer, stream: Stream) -> None:
        """Takes what a stream of kind 3 brings, to its end."""
        lane = _Lane(stream, said_by(peer), Extension.SIGNATURES in peer.agreed.extensions)
        self._ring = self._ring or KeyRing.of(peer.endpoint)
        try:
            async for frame in frames_of(stream, peer.agreed):
                if isinstance(frame, Key | Signature):
                    self._ring.take(lane.said, frame)
                    continue
                if not isinstance(frame, Shard):
                    raise Malformed(f"{frames.type_of(frame).name} among shards")
                await self._take(lane, frame)
            lane.ended()
        except StreamFailed:
            return
        except Malformed as error:
            peer.end(ConnectionCode.PROTOCOL, str(error))
        except Refused as refused:
            stream.reset(refused.code)

    async def datagrams(self, peer: Peer) -> None:
        """Takes shards that come in datagrams, for ever; what is refused is dropped (E6)."""
        while True:
            frame = await peer.frames.get()
            if isinstance(frame, ObjectData | BulkData):
                with suppress(Early, Refused):
                    self._taken(frame)

    async def _take(self, lane: _Lane, frame: Shard) -> None:
        if isinstance(frame, Want):
            self._tell(lane, frame)
            return
        transfer = self._transfers.setdefault(frame.transfer, _Transfer())
        if isinstance(frame, Manifest):
            signer = lane.said.signed(frame)
            _require(self._signer, signer)
            transfer.shown = lane.said.shown if signer else transfer.shown
            self._taken(frame)
            transfer.known.set()
            transfer.lanes.append(lane)
            lane.asked.add(frame.transfer)
            lane.say(transfer.assembly.want(frame.transfer))
            return
        try:
            self._taken(frame)
        except Early:
            try:
                await asyncio.wait_for(transfer.known.wait(), self._patience)
            except TimeoutError:
                why = "data whose manifest does not come"
                raise Refused(why, code=StreamCode.INCOMPLETE) from None
            self._taken(frame)

    def _tell(self, lane: _Lane, want: Want) -> None:
        """Answers who asks for an object."""
        stream = lane.stream
        known = self._transfers.get(want.transfer)
        manifest = known.assembly.manifest if known and known.assembly.whole else None
        if known is None or manifest is None or not manifest.shard_size or not self._holds:
            raise Refused("a want of what is not held here", code=StreamCode.DENIED)
        for shown in known.shown if lane.signatures else []:
            stream.send(frames.encode(shown))
        stream.send(frames.encode(manifest))
        _, *pieces = split(want.transfer, known.assembly.delivered, manifest.shard_size)
        for piece in pieces:
            if isinstance(piece, ObjectData) and _wanted(piece, want):
                stream.send(frames.encode(piece))

    def _taken(self, frame: Manifest | ObjectData | BulkData) -> None:
        """Puts it to the rest. Raises Early and Refused."""
        transfer = self._transfers.setdefault(frame.transfer, _Transfer())
        before = transfer.assembly.whole
        transfer.assembly.take(frame)
        if transfer.assembly.whole and not before:
            self.whole.put_nowait(transfer.assembly.delivered)
            for lane in transfer.lanes:
                lane.say(transfer.assembly.want(frame.transfer))
