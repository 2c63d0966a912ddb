"""The registry's memory: entries with the version at which each last changed. Pure.

A watcher that has version V gets what changed after V, in one message however many changes that
were. One from another epoch, or from before the oldest deletion remembered, is told what its
digests say that it has not, or gets a snapshot.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from stoq.digests import BUCKETS, Digests, bucket
from stoq.registry import (
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

MAX_DELETIONS: Final = 10_000
"""Deletions remembered; a watcher further behind gets a snapshot, which is then not longer."""

MAX_REMEMBERED: Final = 64
"""Differences kept for the next watcher that needs the same; watchers are rarely far apart."""

Entry = TypeVar("Entry", bound=msgspec.Struct)


class _Table(Generic[Entry]):
    """Entries of one type, and the deletions among them."""

    def __init__(self, name: Callable[[str], str]) -> None:
        """`name` makes of a key what the digests call it."""
        self._name = name
        self.entries: dict[str, tuple[int, Entry]] = {}
        self.deleted: dict[str, int] = {}

    def update(self, after: Mapping[str, Entry], version: int, digests: Digests) -> bool:
        """Makes `after` the entries; returns whether anything changed."""
        gone = [key for key in self.entries if key not in after]
        changed = [
            key
            for key, entry in after.items()
            if (known := self.entries.get(key)) is None or _differ(known[1], entry)
        ]
        for key in gone:
            del self.entries[key]
            self.deleted[key] = version
            digests.drop(self._name(key))
        for key in changed:
            self.entries[key] = (version, after[key])
            digests.put(self._name(key), after[key])
            self.deleted.pop(key, None)
        return bool(gone or changed)

    def since(self, version: int) -> tuple[Entry, ...]:
        """Entries that changed after `version`."""
        return tuple(entry for at, entry in self.entries.values() if at > version)

    def inside(self, buckets: AbstractSet[int]) -> tuple[Entry, ...]:
        """Entries of these buckets."""
        return tuple(
            entry for key, (_, entry) in self.entries.items() if bucket(self._name(key)) in buckets
        )

    def deleted_since(self, version: int) -> tuple[str, ...]:
        """Keys deleted after `version`."""
        return tuple(key for key, at in self.deleted.items() if at > version)

    def forget(self, limit: int) -> int:
        """Drops the oldest deletions beyond `limit`; returns the newest version dropped, or 0."""
        surplus = len(self.deleted) - limit
        if surplus <= 0:
            return 0
        oldest = sorted(self.deleted, key=self.deleted.__getitem__)[:surplus]
        return max([self.deleted.pop(key) for key in oldest])


def _differ(one: msgspec.Struct, other: msgspec.Struct) -> bool:
    """Most entries are the very objects of the time before."""
    return one is not other and one != other


class _Changes(NamedTuple):
    """What is the same in the deltas of all watchers that have one version."""

    workloads: tuple[WorkloadEntry, ...]
    services: tuple[ServiceEntry, ...]
    removed: Removed


class _Differing(NamedTuple):
    """What is the same in the resyncs of all watchers that lack the same buckets."""

    workloads: tuple[WorkloadEntry, ...]
    services: tuple[ServiceEntry, ...]


class Index:
    """What the registry knows, at one version."""

    def __init__(self, epoch: str, version: int, *, max_deletions: int = MAX_DELETIONS) -> None:
        """`version` is where counting starts: Unix milliseconds keep it growing over restarts."""
        self.epoch = epoch
        self.version = version
        self._floor = version
        self._max_deletions = max_deletions
        self._workloads = _Table[WorkloadEntry](workload_name)
        self._services = _Table[ServiceEntry](service_name)
        self._digests = Digests()
        self._meshes: dict[str, tuple[int, MeshEntry]] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._changes: dict[int, _Changes] = {}
        self._differing: dict[tuple[int, ...], _Differing] = {}
        self._trust: tuple[int, TrustEntry] | None = None

    def update(self, derived: Derived, trust: TrustEntry) -> bool:
        """Takes over a new state; returns whether it differs, and has a new version, then."""
        version = self.version + 1
        changes = [
            self._workloads.update(derived.workloads, version, self._digests),
            self._services.update(derived.services, version, self._digests),
            self._update_meshes(derived.meshes, version),
        ]
        if self._trust is None or self._trust[1] != trust:
            self._trust = (version, trust)
            changes.append(True)
        if not any(changes):
            return False
        self.version = version
        self._changes.clear()
        self._differing.clear()
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
            if uid in before and not _differ(before[uid][1], entry)
            else (version, entry)
            for uid, entry in after.items()
        }
        return any(at == version for at, _ in self._meshes.values())

    def workload(self, uid: str) -> WorkloadEntry | None:
        """The entry of one workload."""
        found = self._workloads.entries.get(uid)
        return found[1] if found else None

    def named(self, namespace: str, name: str) -> WorkloadEntry | None:
        """The entry of the workload with that name."""
        return self.workload(self._names.get((namespace, name), ""))

    @property
    def counts(self) -> dict[str, int]:
        """Number of entries of each type, for metrics."""
        return {
            "workloads": len(self._workloads.entries),
            "services": len(self._services.entries),
        }

    def continues(self, epoch: str, version: int) -> bool:
        """Whether a watcher that has this is told by a delta, which is short."""
        return epoch == self.epoch and self._floor <= version <= self.version

    def message(
        self, uid: str, epoch: str, version: int, digests: tuple[bytes, ...] = ()
    ) -> WatchMessage | None:
        """What the watcher `uid`, which has `version` of `epoch` and entries with `digests`, must
        be told: a snapshot, or a delta or resync that is empty when there is nothing new.

        `None` for a workload that is not, or no more, known.
        """
        mesh = self._meshes.get(uid)
        if mesh is None or self._trust is None:
            return None
        if not self.continues(epoch, version):
            if len(digests) == BUCKETS:
                return self._resync(mesh[1], self._trust[1], version, digests)
            return self._snapshot(mesh[1], self._trust[1])
        changes = self._since(version)
        return WatchMessage(
            type="delta",
            epoch=self.epoch,
            version=self.version,
            base=version,
            mesh=mesh[1] if mesh[0] > version else None,
            trust=self._trust[1] if self._trust[0] > version else None,
            workloads=changes.workloads,
            services=changes.services,
            removed=changes.removed,
        )

    def _since(self, version: int) -> "_Changes":
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
        self, mesh: MeshEntry, trust: TrustEntry, base: int, digests: tuple[bytes, ...]
    ) -> WatchMessage:
        pairs = zip(self._digests.values, digests, strict=True)
        buckets = tuple(place for place, (ours, theirs) in enumerate(pairs) if ours != theirs)
        if buckets not in self._differing:
            if len(self._differing) >= MAX_REMEMBERED:
                self._differing.clear()
            found = frozenset(buckets)
            self._differing[buckets] = _Differing(
                self._workloads.inside(found), self._services.inside(found)
            )
        return WatchMessage(
            type="resync",
            epoch=self.epoch,
            version=self.version,
            base=base,
            buckets=buckets,
            mesh=mesh,
            trust=trust,
            workloads=self._differing[buckets].workloads,
            services=self._differing[buckets].services,
        )

    def _snapshot(self, mesh: MeshEntry, trust: TrustEntry) -> WatchMessage:
        return WatchMessage(
            type="snapshot",
            epoch=self.epoch,
            version=self.version,
            mesh=mesh,
            trust=trust,
            workloads=self._since(-1).workloads,
            services=self._since(-1).services,
        )
