"""Entries of one type with the version at which each last changed. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from stoq.digests import BUCKETS, Digests, bucket

Entry = TypeVar("Entry", bound=msgspec.Struct)


class Table(Generic[Entry]):
    """Entries of one type, and the deletions among them."""

    def __init__(self, name: Callable[[str], str], digests: Digests) -> None:
        """`name` makes of a key what the digests call it; they are kept up to date."""
        self._name = name
        self._digests = digests
        self._entries: dict[str, tuple[int, Entry]] = {}
        self._deleted: dict[str, int] = {}
        self._places: Final[list[set[str]]] = [set() for _ in range(BUCKETS)]

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """The entry with that key."""
        found = self._entries.get(key)
        return found[1] if found else None

    def update(self, after: Mapping[str, Entry], version: int) -> set[int]:
        """Makes `after` the entries; returns the buckets in which anything changed."""
        gone = [key for key in self._entries if key not in after]
        changed = [
            key
            for key, entry in after.items()
            if (known := self._entries.get(key)) is None or differ(known[1], entry)
        ]
        touched = set()
        for key in gone:
            name = self._name(key)
            place = bucket(name)
            touched.add(place)
            self._places[place].discard(key)
            self._digests.drop(name)
            del self._entries[key]
            self._deleted[key] = version
        for key in changed:
            name = self._name(key)
            place = bucket(name)
            touched.add(place)
            self._places[place].add(key)
            self._digests.put(name, after[key])
            self._entries[key] = (version, after[key])
            self._deleted.pop(key, None)
        return touched

    def since(self, version: int) -> tuple[Entry, ...]:
        """Entries that changed after `version`."""
        return tuple(entry for at, entry in self._entries.values() if at > version)

    def inside(self, buckets: Iterable[int]) -> tuple[Entry, ...]:
        """Entries of these buckets, in an order that is always the same."""
        return tuple(
            self._entries[key][1] for place in buckets for key in sorted(self._places[place])
        )

    def deleted_since(self, version: int) -> tuple[str, ...]:
        """Keys deleted after `version`."""
        return tuple(key for key, at in self._deleted.items() if at > version)

    def forget(self, limit: int) -> int:
        """Drops the oldest deletions beyond `limit`; returns the newest version dropped, or 0."""
        surplus = len(self._deleted) - limit
        if surplus <= 0:
            return 0
        oldest = sorted(self._deleted, key=self._deleted.__getitem__)[:surplus]
        return max([self._deleted.pop(key) for key in oldest])


def differ(one: msgspec.Struct, other: msgspec.Struct) -> bool:
    """Most entries are the very objects of the time before."""
    return one is not other and one != other
