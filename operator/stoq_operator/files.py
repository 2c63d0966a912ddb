"""A store on a directory of YAML manifests, followed live.

The directory is looked at several times a second: a `stat` per file costs microseconds, works on
every file system, and a change is in force well within a second. A changed file is read once two
looks in a row find it the same, so a file is never read while it is being written, and a write
that follows the reading always shows in its times. A file that can not be read or holds a mistake
keeps its last good records; the log names file, line and reason.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stoq.records.documents import DocumentError, Located, parse
from stoq.records.manifest import AnyRecord
from stoq.records.meta import Key
from stoq_operator.store import Batch, StoreHealth, difference

log: Final = logging.getLogger(__name__)

SUFFIXES: Final = (".yaml", ".yml")

INTERVAL: Final = 0.15
"""Seconds between looks at the directory. Far above the tick of any kernel's file times, which is
what the reasoning above rests on."""

MAX_FILE: Final = 16 << 20
"""Bytes of one file."""


_Stamp = tuple[int, int, int, int]
"""What changes when a file does: inode, size, times of content and of inode. A plain tuple, since
one is made for every file at every look."""


@dataclass(frozen=True, slots=True)
class _File:
    """What a file gave when it was last in order; `stamp` is of the last reading."""

    stamp: _Stamp | None
    records: tuple[Located, ...]


class FileStore:
    """Yields the records of all `*.yaml` and `*.yml` files of one directory."""

    def __init__(self, directory: Path, *, interval: float = INTERVAL) -> None:
        self._directory = directory
        self._interval = interval
        self._synced = False
        self._seen: dict[str, _Stamp] = {}
        self._files: dict[str, _File] = {}
        self._unreadable: dict[str, str] = {}
        self._doubles: dict[str, str] = {}

    @property
    def health(self) -> StoreHealth:
        """Problems are by file name; the directory itself has its path."""
        return StoreHealth(self._synced, {**self._unreadable, **self._doubles})

    async def watch(self) -> AsyncIterator[Batch]:
        """See `Store.watch`."""
        known: Mapping[Key, AnyRecord] = {}
        while True:
            # Read in the loop's own thread: the files are few and small, and a thread would let
            # a look overtake the one before it.
            if self.look():
                current = self._merged()
                if not self._synced:
                    self._synced = True
                    yield Batch(put=tuple(current.values()), complete=True)
                elif not (batch := difference(known, current)).empty:
                    yield batch
                known = current
            await asyncio.sleep(self._interval)

    def look(self) -> bool:
        """Reads what has changed since the last looks; returns whether there may be a new state.

        There is none before the directory was read for the first time: a folder that is not there
        says nothing, not that the mesh is empty.
        """
        place = str(self._directory)
        try:
            stamps = self._stamps()
        except OSError as error:
            self._report(place, f"{error.strerror}; make it a directory of YAML manifests")
            return False
        self._mend(place)
        changed = not self._synced
        for name in [name for name in self._files if name not in stamps]:
            log.info("%s is gone, and its %d records", name, len(self._files.pop(name).records))
            self._mend(name)
            changed = True
        for name, stamp in stamps.items():
            known = self._files.get(name)
            if known is not None and known.stamp == stamp:
                continue
            settled = self._seen.get(name) == stamp
            if settled or not self._synced:
                self._read(name, stamp, settled=settled)
                changed = True
        self._seen = stamps
        return changed

    def _stamps(self) -> dict[str, _Stamp]:
        stamps: dict[str, _Stamp] = {}
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if not entry.name.endswith(SUFFIXES) or entry.name.startswith("."):
                    continue
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    continue
                stamps[entry.name] = (
                    found.st_ino,
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                )
        return stamps

    def _read(self, name: str, stamp: _Stamp, *, settled: bool) -> None:
        before = self._files.get(name, _File(None, ()))
        records = before.records
        try:
            if (size := stamp[1]) > MAX_FILE:
                raise DocumentError(1, f"{size} bytes, {MAX_FILE} at most; split it")
            records = parse((self._directory / name).read_text(encoding="utf-8"))
        except DocumentError as error:
            self._report(name, str(error))
        except (OSError, UnicodeDecodeError) as error:
            self._report(name, f"can not be read: {error}")
        else:
            self._mend(name)
            if before.records != records:
                log.info("read %s: %d records", name, len(records))
        self._files[name] = _File(stamp if settled else None, records)

    def _merged(self) -> dict[Key, AnyRecord]:
        """All records; one that two files have is taken from the first by name."""
        merged: dict[Key, AnyRecord] = {}
        source: dict[Key, str] = {}
        doubles: dict[str, str] = {}
        for name, file in sorted(self._files.items()):
            for item in file.records:
                key = item.record.key
                if key in merged:
                    doubles[f"{name}:{item.line}"] = f"{key} is already in {source[key]}"
                    continue
                merged[key] = item.record
                source[key] = name
        for place, reason in doubles.items():
            if self._doubles.get(place) != reason:
                log.error("%s: %s, which holds; remove one of them", place, reason)
        self._doubles = doubles
        return merged

    def _report(self, place: str, reason: str) -> None:
        if self._unreadable.get(place) != reason:
            log.error("%s: %s; what was read before stays in force", place, reason)
            self._unreadable[place] = reason

    def _mend(self, place: str) -> None:
        if self._unreadable.pop(place, None) is not None:
            log.info("%s: in order again", place)
