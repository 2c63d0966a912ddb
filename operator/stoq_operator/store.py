"""Where the truth about the mesh comes from.

A `Store` is read-only for everything above it: files in the embedded mode, the Kubernetes API
server in a cluster. It yields batches of records; the index folds them. Validation is done before
a record gets here, so a store never yields one that breaks a rule.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stoq.records.cluster import ClusterService, Namespace
from stoq.records.manifest import AnyRecord
from stoq.records.meta import Key

Known = AnyRecord | ClusterService | Namespace
"""What a store can tell of: records that people write, and what a cluster has beside them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that changed together.

    `complete` says that `put` is all there is and what it does not name is gone: the first batch
    of a store, and the one after it has lost track (a re-list in Kubernetes).
    """

    put: tuple[Known, ...] = ()
    delete: tuple[Key, ...] = ()
    complete: bool = False

    @property
    def empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.put or self.delete or self.complete)


@dataclass(slots=True)
class StoreHealth:
    """What a store knows of itself, for metrics and health pages."""

    synced: bool = False
    """Whether a first complete batch was yielded."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What could not be read, by its source, with the reason."""


class Store(Protocol):
    """A source of records."""

    @property
    def health(self) -> StoreHealth:
        """Read at any time."""

    def watch(self) -> AsyncIterator[Batch]:
        """A complete batch first, then changes as they happen, for ever.

        What can not be read keeps its last good state: an outage of the source is silence, not
        an exception and never a deletion.
        """


def fold(records: Mapping[Key, Known], batch: Batch) -> dict[Key, Known]:
    """The records after `batch`."""
    after = {} if batch.complete else dict(records)
    for key in batch.delete:
        after.pop(key, None)
    after.update((record.key, record) for record in batch.put)
    return after


def difference(before: Mapping[Key, Known], after: Mapping[Key, Known]) -> Batch:
    """The batch that leads from `before` to `after`."""
    return Batch(
        put=tuple(record for key, record in after.items() if before.get(key) != record),
        delete=tuple(key for key in before if key not in after),
    )
