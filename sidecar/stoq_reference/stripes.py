"""Striped flows (docs/wire-format.md, section 19): records, and both directions of a flow.

Nothing here waits or sends: `stoq_reference.lanes` does.
"""

from collections import deque
from dataclasses import dataclass, field

from stoq_reference.errors import Malformed
from stoq_reference.reader import MAX_VARINT, Reader, Short, varint

MIN_LANES = 2
MAX_LANES = 8
MAX_CHUNK = 65536
"""Bytes of data in a record."""

FIRST_LIMIT = 262144
"""Bytes of a direction that may be sent before the receiver has said a limit (L4)."""

TOLD_BYTES = 131072
TOLD_CHUNKS = 256
"""A receiver says what has come when so many bytes or chunks were handed on since (L5)."""

MAX_CHUNKS = 1024
"""Chunks of a direction that may wait for their acknowledgement (L4)."""


@dataclass(frozen=True)
class Data:
    """Bytes of a direction."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class End:
    """How many bytes a direction has."""

    size: int


@dataclass(frozen=True)
class Received:
    """What has come of the other direction, its end counted as one more, and how far it may go."""

    received: int
    limit: int


Record = Data | End | Received


class Broken(Exception):
    """The peer's records are not those of one flow: it is reset with `bad_shard` (L6)."""


def encode(record: Record) -> bytes:
    """A record's bytes."""
    match record:
        case Data(offset, data):
            return b"\0" + varint(offset) + varint(len(data)) + data
        case End(size):
            return b"\1" + varint(size)
        case Received(received, limit):
            return b"\2" + varint(received) + varint(limit)


def take(stream: bytes) -> tuple[Record, int] | None:
    """The first record and how far it reaches; None while it is not whole. Raises Malformed."""
    reader = Reader(stream, "record of a lane")
    try:
        match reader.integer(1):
            case 0:
                return _data(reader), reader.position
            case 1:
                return End(reader.varint()), reader.position
            case 2:
                return Received(reader.varint(), reader.varint()), reader.position
            case kind:
                raise Malformed(f"a record of kind {kind}: 0 to 2")
    except Short:
        return None


def _data(reader: Reader) -> Data:
    offset, length = reader.varint(), reader.varint()
    if not 1 <= length <= MAX_CHUNK:
        raise Malformed(f"{length} bytes of data: 1 to {MAX_CHUNK}")
    if offset + length > MAX_VARINT:
        raise Malformed(f"{length} bytes at {offset}, which end behind any offset")
    return Data(offset, reader.take(length))


@dataclass
class Incoming:
    """A direction that comes in, on whichever lanes."""

    window: int = FIRST_LIMIT
    """Bytes that may come beyond those that were handed on."""
    handed: int = 0
    size: int | None = None
    begun: bool = False
    """Whether anything has come of it."""
    _limit: int = FIRST_LIMIT
    _kept: dict[int, bytes] = field(default_factory=dict)
    _chunks: int = 0
    _told: tuple[int, int] | None = None
    """Bytes and chunks handed on when the peer was told last."""

    def take(self, record: Data | End) -> bytes:
        """What can be handed on now. Raises Broken."""
        self.begun = True
        match record:
            case Data():
                self._take_data(record)
            case End(size):
                ends = [at + len(data) for at, data in self._kept.items()]
                if self.size not in (None, size) or max([self.handed, *ends]) > size:
                    raise Broken(f"the flow is said to end at {size}")
                self.size = size
        ready = b""
        while (chunk := self._kept.pop(self.handed, None)) is not None:
            ready += chunk
            self.handed += len(chunk)
            self._chunks += 1
        return ready

    @property
    def ended(self) -> bool:
        """Whether all of it was handed on, and that this is all."""
        return self.handed == self.size

    def word(self, *, again: bool = False) -> Received | None:
        """What the peer is to be told now, if anything; the last word once more with `again`."""
        received = self.handed + self.ended
        told, chunks = self._told or (0, 0)
        due = received - told >= TOLD_BYTES or self._chunks - chunks >= TOLD_CHUNKS
        if not (again or self._told is None or due or (self.ended and told < received)):
            return None
        self._told = received, self._chunks
        self._limit = self.handed + self.window
        return Received(received, self._limit)

    def _take_data(self, record: Data) -> None:
        offset, end = record.offset, record.offset + len(record.data)
        if end > self._limit:
            raise Broken(f"data up to {end}, where {self._limit} is the limit")
        known = self._kept.get(offset)
        if end <= self.handed or (known is not None and len(known) == len(record.data)):
            return
        if self.size is not None and end > self.size:
            raise Broken(f"data up to {end} of a flow of {self.size} bytes")
        meets = any(at < end and offset < at + len(data) for at, data in self._kept.items())
        if meets or offset < self.handed:
            raise Broken(f"the data at {offset} overlaps")
        if len(self._kept) >= MAX_CHUNKS:
            raise Broken(f"more than {MAX_CHUNKS} chunks on the way")
        self._kept[offset] = record.data


@dataclass
class Outgoing:
    """A direction that goes out, in chunks that are kept until the peer has them."""

    size: int = 0
    received: int = 0
    limit: int = FIRST_LIMIT
    ended: bool = False
    """Whether nothing is added any more."""
    known: bool = False
    """Whether the peer has said to have all of it."""
    heard: bool = False
    """Whether the peer has said anything about it."""
    _sent: int = 0
    _end_sent: bool = False
    _chunks: dict[int, bytes] = field(default_factory=dict)
    _lanes: dict[int, int] = field(default_factory=dict)
    """Which lane each chunk went on."""
    _waiting: deque[int] = field(default_factory=deque)
    _end_lane: int | None = None

    def push(self, data: bytes) -> None:
        """Adds to it, cut into chunks; none goes before its turn (L4)."""
        for at in range(0, len(data), MAX_CHUNK):
            chunk = data[at : at + MAX_CHUNK]
            self._chunks[self.size] = chunk
            self._waiting.append(self.size)
            self.size += len(chunk)

    def next(self, lane: int) -> Data | End | None:
        """What goes on this lane now."""
        if self._waiting:
            offset = self._waiting[0]
            data = self._chunks[offset]
            many = len(self._lanes) >= MAX_CHUNKS
            if many or offset + len(data) > self.limit:
                return None
            self._waiting.popleft()
            self._lanes[offset] = lane
            self._sent = max(self._sent, offset + len(data))
            return Data(offset, data)
        if self.ended and self._end_lane is None and not self.known:
            self._end_lane, self._end_sent = lane, True
            return End(self.size)
        return None

    def take(self, word: Received) -> None:
        """What the peer says to have. Raises Broken."""
        if word.received > self._sent + self._end_sent:
            raise Broken(f"{word.received} bytes are said to have come, of {self._sent}")
        self.heard = True
        self.limit = max(self.limit, word.limit)
        self.known |= word.received > self.size
        self.received = max(self.received, min(word.received, self.size))
        for offset in [at for at, data in self._chunks.items() if at + len(data) <= self.received]:
            del self._chunks[offset]
            self._lanes.pop(offset, None)
            if offset in self._waiting:
                self._waiting.remove(offset)

    def lost(self, lane: int) -> None:
        """What went on this lane goes again on others, first (L7)."""
        again = sorted(at for at, other in self._lanes.items() if other == lane)
        for offset in reversed(again):
            del self._lanes[offset]
            self._waiting.appendleft(offset)
        if self._end_lane == lane:
            self._end_lane = None

    @property
    def gone(self) -> bool:
        """Whether everything went on some lane, its end included (L8)."""
        return self._end_sent
