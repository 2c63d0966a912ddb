"""Striped flows (docs/wire-format.md, section 19): the lanes of a flow, and who may join them."""

import asyncio
import secrets
from dataclasses import dataclass, field, replace

from stoq_reference import stripes
from stoq_reference.certificate import Certificate
from stoq_reference.codes import StreamCode
from stoq_reference.errors import Malformed
from stoq_reference.head import FLOW_ID_LENGTH, Address, Head, Kind
from stoq_reference.peer import Peer
from stoq_reference.stream import Stream, StreamFailed
from stoq_reference.stripes import Broken, Incoming, Outgoing, Received

NOT_TAKEN = (StreamCode.DENIED, StreamCode.DRAINING)
"""With these a peer refuses one further lane, and not the flow (L3)."""


class Striped:
    """One end of a striped flow. What is sent is kept until the peer has it, without a bound."""

    def __init__(self, first: Stream) -> None:
        """`first`: lane 0, behind its head."""
        self.head = first.head
        self._incoming = Incoming()
        self._outgoing = Outgoing()
        self._lanes: dict[int, Stream] = {}
        self._numbers: set[int] = set()
        self._ready = bytearray()
        self._failure: StreamFailed | None = None
        self._progress = asyncio.Event()
        self._reading: list[asyncio.Task[None]] = []
        self.join(first)

    @property
    def lanes(self) -> int:
        """Lanes that it has now."""
        return len(self._lanes)

    @property
    def answered(self) -> bool:
        """Whether the peer has said anything: only then further lanes are opened (L3)."""
        return self._outgoing.heard or self._incoming.begun

    def join(self, stream: Stream) -> bool:
        """A lane, behind its head; false when there was one of its number."""
        number = stream.head.sent
        if number in self._numbers:
            return False
        self._numbers.add(number)
        self._lanes[number] = stream
        self._reading.append(asyncio.create_task(self._read(number, stream)))
        self._pump()
        return True

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Adds `data` to what goes out, and its end. Raises StreamFailed."""
        if self._failure is not None:
            raise self._failure
        self._outgoing.push(data)
        self._outgoing.ended |= end
        self._pump()

    async def recv(self) -> bytes:
        """What has come, at least a byte; empty at the end. Raises StreamFailed."""
        while not self._ready:
            if self._failure is not None:
                raise self._failure
            if self._incoming.ended:
                return b""
            await self._told()
        received = bytes(self._ready)
        self._ready.clear()
        return received

    async def until_answered(self) -> None:
        """Waits for the peer's first record. Raises StreamFailed."""
        while not self.answered:
            if self._failure is not None:
                raise self._failure
            await self._told()

    async def over(self) -> None:
        """Waits until both ends know that both directions are whole. Raises StreamFailed."""
        while not self._over:
            if self._failure is not None:
                raise self._failure
            await self._told()

    def reset(self, code: StreamCode) -> None:
        """Ends the flow on all its lanes (L8)."""
        self._failure = self._failure or StreamFailed(code)
        for stream in self._lanes.values():
            stream.reset(code)
        self._lanes.clear()
        self._progress.set()

    @property
    def _over(self) -> bool:
        return self._incoming.ended and self._outgoing.known

    async def _told(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    async def _read(self, number: int, stream: Stream) -> None:
        rest = b""
        try:
            while data := await stream.recv():
                rest = self._take(rest + data)
            if rest or not (self._incoming.ended and self._outgoing.gone):
                raise Broken(f"lane {number} ended before the flow")
            self._outgoing.known = True
        except (Broken, Malformed):
            self.reset(StreamCode.BAD_SHARD)
        except StreamFailed as failed:
            self._lost(number, failed.code)
        self._pump()

    def _take(self, stream: bytes) -> bytes:
        """Takes the records at the front; what is left has none. Raises Broken and Malformed."""
        while (taken := stripes.take(stream)) is not None:
            record, used = taken
            stream = stream[used:]
            if isinstance(record, Received):
                self._outgoing.take(record)
            else:
                self._ready += self._incoming.take(record)
            self._pump()
        return stream

    def _lost(self, number: int, code: int | None) -> None:
        """A lane is gone: what it had goes again on others, unless it was the flow that ended."""
        self._lanes.pop(number, None)
        if self._over or self._failure is not None:
            return
        if number == 0 or (code is not None and code not in NOT_TAKEN):
            said = next((known for known in StreamCode if known == code), StreamCode.RESET)
            self.reset(said)
            return
        self._outgoing.lost(number)
        self._pump(again=True)

    def _pump(self, *, again: bool = False) -> None:
        """Sends what is due, a record on each lane in turn. A lane that fails has its reader say
        so.
        """
        while self._failure is None:
            sent = False
            for number, stream in list(self._lanes.items()):
                word = self._incoming.word(again=again)
                record = word or self._outgoing.next(number)
                again = False
                if record is None:
                    continue
                sent = True
                try:
                    stream.send(stripes.encode(record))
                except StreamFailed:
                    self._lost(number, None)
            if not sent:
                break
        if self._over:
            for stream in self._lanes.values():
                stream.finish_sending()
        self._progress.set()


def open_lane(peer: Peer, head: Head, number: int) -> Stream:
    """A lane of the flow that `head` began, on this connection. Raises StreamFailed."""
    lane = replace(head, sent=number)
    return peer.open_raw(lane.encode(), lane)


def begin(peer: Peer, source: Address, destination: Address, lanes: int) -> Striped:
    """A flow that may have so many lanes, with the first. Raises StreamFailed."""
    flow_id = secrets.token_bytes(FLOW_ID_LENGTH)
    head = Head(Kind.LANE, flow_id, source, destination, received=lanes)
    return Striped(open_lane(peer, head, 0))


@dataclass
class Joining:
    """The striped flows that peers have begun, and who may join them (L3)."""

    _flows: dict[bytes, tuple[Striped, Certificate | None]] = field(default_factory=dict)

    def take(self, peer: Peer, stream: Stream) -> Striped | None:
        """The flow that a stream of kind 6 begins; None when it joined one, or was refused."""
        head, certificate = stream.head, peer.certificate
        known = self._flows.get(head.flow_id)
        if head.sent == 0 and known is None:
            striped = Striped(stream)
            self._flows[head.flow_id] = striped, certificate
            return striped
        ours = known is not None and head.sent and self._is_of(known, head, certificate)
        if not (ours and known and known[0].join(stream)):
            stream.reset(StreamCode.DENIED)
        return None

    @staticmethod
    def _is_of(
        known: tuple[Striped, Certificate | None], head: Head, certificate: Certificate | None
    ) -> bool:
        striped, owner = known
        if owner is None or certificate is None:
            return False
        same = (owner.spiffe_id, owner.keys) == (certificate.spiffe_id, certificate.keys)
        return same and replace(head, sent=0) == striped.head
