"""The registry's memory: entries with the version at which each last changed. Pure.

A watcher that has version V gets what changed after V, in one message however many changes that
were. One from another epoch, or from before the oldest deletion remembered, is told what its
digests say that it has not, or gets a snapshot.

Thousands of watchers need the same: entries are packed once, by shelves, and a change makes its own
shelf alone anew (docs/decisions/0026-everyone-is-told-everything.md).
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final

from stoq.digests import BUCKETS, Digests
from stoq.packing import pack
from stoq.registry import (
    Entries,
    MeshEntry,
    Removed,
    ServiceEntry,
    TrustEntry,
    WatchMessage,
    WorkloadEntry,
    service_name,
    workload_name,
)
from stoq_operator.derive import Derived
from stoq_operator.entries import Table, differ

MAX_DELETIONS: Final = 10_000
"""Deletions remembered; a watcher further behind gets a snapshot, which is then not longer."""

MAX_REMEMBERED: Final = 64
"""Differences kept for the next watcher that needs the same; watchers are rarely far apart."""

SHELF: Final = 4
"""Buckets that are packed together. With 15,000 entries a change costs 2 ms by it and a snapshot
has 600 KB; one shelf for all would cost 60 ms and have 500 KB."""


class _Changes:
    """What is the same in the deltas of all watchers that have one version."""

    def __init__(
        self,
        workloads: tuple[WorkloadEntry, ...],
        services: tuple[ServiceEntry, ...],
        removed: Removed,
    ) -> None:
        self.workloads = workloads
        self.services = services
        self.removed = removed

    @cached_property
    def packed(self) -> tuple[bytes, ...]:
        """The entries, if there are any."""
        return _packed(self.workloads, self.services)


def _packed(
    workloads: tuple[WorkloadEntry, ...], services: tuple[ServiceEntry, ...]
) -> tuple[bytes, ...]:
    if not workloads and not services:
        return ()
    return (pack(Entries(workloads=workloads, services=services)),)


class Index:
    """What the registry knows, at one version."""

    def __init__(self, epoch: str, version: int, *, max_deletions: int = MAX_DELETIONS) -> None:
        """`version` is where counting starts: Unix milliseconds keep it growing over restarts."""
        self.epoch = epoch
        self.version = version
        self._floor = version
        self._max_deletions = max_deletions
        self._digests = Digests()
        self._workloads = Table[WorkloadEntry](workload_name, self._digests)
        self._services = Table[ServiceEntry](service_name, self._digests)
        self._meshes: dict[str, tuple[int, MeshEntry]] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._changes: dict[int, _Changes] = {}
        self._shelves: dict[int, tuple[bytes, ...]] = {}
        self._trust: tuple[int, TrustEntry] | None = None

    def update(self, derived: Derived, trust: TrustEntry) -> bool:
        """Takes over a new state; returns whether it differs, and has a new version, then."""
        version = self.version + 1
        touched = self._workloads.update(derived.workloads, version)
        touched |= self._services.update(derived.services, version)
        changed = self._update_meshes(derived.meshes, version) or bool(touched)
        if self._trust is None or self._trust[1] != trust:
            self._trust = (version, trust)
            changed = True
        if not changed:
            return False
        self.version = version
        self._changes.clear()
        for place in touched:
            self._shelves.pop(place // SHELF, None)
        self._names = {
            (entry.namespace, entry.name): uid for uid, entry in derived.workloads.items()
        }
        # A delta must name every deletion; from before a forgotten one only a snapshot will do.
        self._floor = max(
            self._floor,
            self._workloads.forget(self._max_deletions),
            self._services.forget(self._max_deletions),
        )
        return True

    def _update_meshes(self, after: Mapping[str, MeshEntry], version: int) -> bool:
        before = self._meshes
        self._meshes = {
            uid: before[uid]
            if uid in before and not differ(before[uid][1], entry)
            else (version, entry)
            for uid, entry in after.items()
        }
        return any(at == version for at, _ in self._meshes.values())

    def workload(self, uid: str) -> WorkloadEntry | None:
        """The entry of one workload."""
        return self._workloads.get(uid)

    def named(self, namespace: str, name: str) -> WorkloadEntry | None:
        """The entry of the workload with that name."""
        return self.workload(self._names.get((namespace, name), ""))

    @property
    def counts(self) -> dict[str, int]:
        """Number of entries of each type, for metrics."""
        return {"workloads": len(self._workloads), "services": len(self._services)}

    def continues(self, epoch: str, version: int) -> bool:
        """Whether a watcher that has this is told by a delta, which is short."""
        return epoch == self.epoch and self._floor <= version <= self.version

    def message(
        self,
        uid: str,
        epoch: str,
        version: int,
        digests: tuple[bytes, ...] = (),
        *,
        packed: bool = False,
    ) -> WatchMessage | None:
        """What the watcher `uid`, which has `version` of `epoch` and entries with `digests`, must
        be told: a snapshot, or a delta or resync that is empty when there is nothing new. `packed`:
        it takes packed entries.

        `None` for a workload that is not, or no more, known.
        """
        mesh = self._meshes.get(uid)
        if mesh is None or self._trust is None:
            return None
        if not self.continues(epoch, version):
            if len(digests) == BUCKETS:
                return self._resync(mesh[1], self._trust[1], version, digests, packed=packed)
            return self._snapshot(mesh[1], self._trust[1], packed=packed)
        changes = self._since(version)
        return WatchMessage(
            type="delta",
            epoch=self.epoch,
            version=self.version,
            base=version,
            mesh=mesh[1] if mesh[0] > version else None,
            trust=self._trust[1] if self._trust[0] > version else None,
            workloads=() if packed else changes.workloads,
            services=() if packed else changes.services,
            removed=changes.removed,
            packed=changes.packed if packed else (),
        )

    def _since(self, version: int) -> _Changes:
        """What changed after `version`; looked for once for all watchers that have it."""
        if version not in self._changes:
            if len(self._changes) >= MAX_REMEMBERED:
                self._changes.clear()
            self._changes[version] = _Changes(
                self._workloads.since(version),
                self._services.since(version),
                Removed(
                    workloads=self._workloads.deleted_since(version),
                    services=self._services.deleted_since(version),
                ),
            )
        return self._changes[version]

    def _resync(
        self,
        mesh: MeshEntry,
        trust: TrustEntry,
        base: int,
        digests: tuple[bytes, ...],
        *,
        packed: bool,
    ) -> WatchMessage:
        pairs = zip(self._digests.values, digests, strict=True)
        buckets = tuple(place for place, (ours, theirs) in enumerate(pairs) if ours != theirs)
        shelves = sorted({place // SHELF for place in buckets})
        if packed:
            # More than differs, but it is there already.
            buckets = tuple(place for shelf in shelves for place in _buckets(shelf))
        return WatchMessage(
            type="resync",
            epoch=self.epoch,
            version=self.version,
            base=base,
            buckets=buckets,
            mesh=mesh,
            trust=trust,
            workloads=() if packed else self._workloads.inside(buckets),
            services=() if packed else self._services.inside(buckets),
            packed=self._packed(shelves) if packed else (),
        )

    def _snapshot(self, mesh: MeshEntry, trust: TrustEntry, *, packed: bool) -> WatchMessage:
        return WatchMessage(
            type="snapshot",
            epoch=self.epoch,
            version=self.version,
            mesh=mesh,
            trust=trust,
            workloads=() if packed else self._since(-1).workloads,
            services=() if packed else self._since(-1).services,
            packed=self._packed(range(BUCKETS // SHELF)) if packed else (),
        )

    def _packed(self, shelves: Iterable[int]) -> tuple[bytes, ...]:
        """What lies on these shelves."""
        found: list[bytes] = []
        for shelf in shelves:
            if shelf not in self._shelves:
                places = _buckets(shelf)
                self._shelves[shelf] = _packed(
                    self._workloads.inside(places), self._services.inside(places)
                )
            found += self._shelves[shelf]
        return tuple(found)


def _buckets(shelf: int) -> range:
    return range(shelf * SHELF, (shelf + 1) * SHELF)
