"""Shards (docs/wire-format.md, section 13): transfers taken apart and put together.

Without the bounds of D9, D10 and D12: the reference keeps what it receives.
"""

from dataclasses import dataclass, field
from hashlib import sha256

from stoq_reference.codes import StreamCode
from stoq_reference.frames import (
    MAX_RANGES,
    MAX_SHARDS,
    BulkData,
    Manifest,
    ObjectData,
    Shard,
    Want,
)
from stoq_reference.reader import MAX_VARINT


class Refused(Exception):
    """A SHARD is refused; its stream is reset with `code`. `failed`: so is the transfer."""

    def __init__(
        self, why: str, *, failed: bool = False, code: StreamCode = StreamCode.BAD_SHARD
    ) -> None:
        super().__init__(why)
        self.code = code
        self.failed = failed


class Early(Exception):
    """Data of an object whose manifest is not there yet: it waits (D2)."""


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()


def split(transfer: bytes, data: bytes, shard_size: int) -> list[Shard]:
    """An object: its manifest and its shards. Raises ValueError for more than 4096 shards."""
    pieces = [data[at : at + shard_size] for at in range(0, len(data), shard_size)]
    if len(pieces) > MAX_SHARDS:
        raise ValueError(f"{len(pieces)} shards: at most {MAX_SHARDS}")
    digests = tuple(map(_digest, pieces))
    manifest = Manifest(transfer, len(data), shard_size, _digest(data), digests)
    offsets = range(0, len(data), shard_size)
    shards = (ObjectData(transfer, *at) for at in zip(offsets, pieces, strict=True))
    return [manifest, *shards]


def bulk(transfer: bytes, pieces: list[bytes]) -> list[Shard]:
    """A bulk transfer: its shards, and its manifest at the end."""
    shards: list[Shard] = []
    offset = 0
    for piece in pieces:
        shards.append(BulkData(transfer, offset, _digest(piece), piece))
        offset += len(piece)
    return [*shards, Manifest(transfer, offset, 0, _digest(b"".join(pieces)))]


@dataclass
class Assembly:
    """One transfer that comes in."""

    manifest: Manifest | None = None
    delivered: bytes = b""
    """What was handed on; of an object all of it, at its end."""
    whole: bool = False
    failed: bool = False
    repeated: int = 0
    _kept: dict[int, bytes] = field(default_factory=dict)

    def take(self, shard: Shard) -> bytes:
        """What can be handed on now. Raises Early and Refused."""
        if self.whole or self.failed:
            self.repeated += 1
            return b""
        before = len(self.delivered)
        try:
            match shard:
                case Manifest():
                    self._take_manifest(shard)
                case ObjectData():
                    self._take_object(shard)
                case BulkData():
                    self._take_bulk(shard)
                case Want():
                    raise Refused("a want is for who sends")
            self._finish()
        except Refused as refused:
            self.failed = refused.failed
            raise
        return self.delivered[before:]

    def want(self, transfer: bytes) -> Want:
        """What is missing (D11)."""
        if self.whole:
            return Want(transfer, ())
        if self.manifest and self.manifest.shard_size:
            size, step = self.manifest.size, self.manifest.shard_size
            missing = [at for at in range(0, size, step) if at not in self._kept]
            spans = [(at, min(at + step, size)) for at in missing]
        else:
            ends = [(at, at + len(data)) for at, data in sorted(self._kept.items())]
            end = self.manifest.size if self.manifest else MAX_VARINT
            starts = [len(self.delivered), *(stop for _, stop in ends)]
            stops = [*(start for start, _ in ends), end]
            spans = [span for span in zip(starts, stops, strict=True) if span[0] < span[1]]
        ranges: list[tuple[int, int]] = []
        for start, stop in spans:
            if ranges and sum(ranges[-1]) == start:
                start, _ = ranges.pop()
            ranges.append((start, stop - start))
        return Want(transfer, tuple(ranges[:MAX_RANGES]))

    def _take_manifest(self, manifest: Manifest) -> None:
        if self.manifest == manifest:
            self.repeated += 1
            return
        began = bool(self.delivered or self._kept)
        if self.manifest or (manifest.shard_size and began):
            raise Refused("another manifest of the same transfer")
        ends = [at + len(data) for at, data in self._kept.items()]
        if max([len(self.delivered), *ends]) > manifest.size:
            raise Refused(f"the manifest says {manifest.size} bytes, there are more", failed=True)
        self.manifest = manifest

    def _take_object(self, shard: ObjectData) -> None:
        manifest, offset, length = self.manifest, shard.offset, len(shard.data)
        if manifest is None and not self.delivered and not self._kept:
            raise Early(f"the shard at {offset} comes before its manifest")
        if manifest is None or not manifest.shard_size:
            raise Refused("object data of what is no object")
        index, beside = divmod(offset, manifest.shard_size)
        right = min(manifest.shard_size, manifest.size - offset)
        if beside or length != right:
            raise Refused(f"no shard of {length} bytes is at {offset}")
        if _digest(shard.data) != manifest.digests[index]:
            raise Refused(f"the shard at {offset} is not what the manifest says")
        if offset in self._kept:
            self.repeated += 1
            return
        self._kept[offset] = shard.data

    def _take_bulk(self, shard: BulkData) -> None:
        if self.manifest and self.manifest.shard_size:
            raise Refused("bulk data of an object")
        offset, end = shard.offset, shard.offset + len(shard.data)
        if _digest(shard.data) != shard.digest:
            raise Refused(f"the data at {offset} is not what its digest says")
        if end <= len(self.delivered) or self._kept.get(offset) == shard.data:
            self.repeated += 1
            return
        beyond = self.manifest is not None and end > self.manifest.size
        meets = any(at < end and offset < at + len(data) for at, data in self._kept.items())
        if beyond or meets or offset < len(self.delivered):
            raise Refused(f"the data at {offset} overlaps", failed=True)
        self._kept[offset] = shard.data
        while (due := self._kept.pop(len(self.delivered), None)) is not None:
            self.delivered += due

    def _finish(self) -> None:
        manifest = self.manifest
        if manifest is None:
            return
        if manifest.shard_size:
            if len(self._kept) < len(manifest.digests):
                return
            data = b"".join(self._kept[at] for at in sorted(self._kept))
        else:
            data = self.delivered
            if len(data) < manifest.size:
                return
        if _digest(data) != manifest.digest:
            raise Refused("the whole is not what its digest says", failed=True)
        self.delivered, self.whole = data, True
