"""Fingerprints of what a watcher holds, so that a registry that does not know it sends only what
differs. Pure.

Versions of one registry process say nothing to another. So entries are spread over buckets by their
names, and each bucket has a digest: whoever comes from another process is told the buckets that
differ, instead of everything. After a restart of a registry of thousands that is next to nothing.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

BUCKETS: Final = 256
"""A request that carries the digests of all has 4.6 KB; a bucket of 15,000 entries has 60."""

SIZE: Final = 16
"""Bytes of a digest: nobody who may write objects finds two that have the same."""

_EMPTY: Final = hashlib.blake2b(digest_size=SIZE).digest()


def bucket(name: str) -> int:
    """The bucket of an entry, 0 to `BUCKETS` - 1."""
    return hashlib.blake2b(name.encode(), digest_size=1).digest()[0]


class Digests:
    """The digests of a set of entries, kept while it changes."""

    def __init__(self, entries: Iterable[tuple[str, msgspec.Struct]] = ()) -> None:
        self._members: list[dict[str, bytes]] = [{} for _ in range(BUCKETS)]
        self._values: list[bytes | None] = [_EMPTY] * BUCKETS
        for name, entry in entries:
            self.put(name, entry)

    def put(self, name: str, entry: msgspec.Struct) -> None:
        """An entry is there, new or changed. Names are unique among entries of all types."""
        place = bucket(name)
        encoded = msgspec.msgpack.encode((name, entry))
        self._members[place][name] = hashlib.blake2b(encoded, digest_size=SIZE).digest()
        self._values[place] = None

    def drop(self, name: str) -> None:
        """An entry is gone; harmless when there was none."""
        place = bucket(name)
        if self._members[place].pop(name, None) is not None:
            self._values[place] = None

    @property
    def values(self) -> tuple[bytes, ...]:
        """The digest of each bucket."""
        found = []
        for place, value in enumerate(self._values):
            if value is None:
                members = self._members[place]
                whole = b"".join(members[name] for name in sorted(members))
                value = self._values[place] = hashlib.blake2b(whole, digest_size=SIZE).digest()
            found.append(value)
        return tuple(found)
