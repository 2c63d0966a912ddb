"""A store on a cluster: what the API server's watches bring, reduced at once to records.

One task per kind reads its watch. What changed is merged while the reader is busy, so a burst
becomes one batch. A list that came anew after a gap is compared with what was known: what it lacks
is gone. While the API server is away nothing comes, and the last state stays in force.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import msgspec

from stoq.records.cluster import NAMESPACE_CONDITION, Namespace
from stoq.records.errors import RecordError
from stoq.records.manifest import KINDS, decode
from stoq.records.meta import API_VERSION, Key, Status
from stoq.records.workload import Workload
from stoq_kube.apiserver import (
    NAMESPACES,
    PODS,
    RECORDS,
    SERVICES,
    SLICES,
    Client,
    Deleted,
    Kind,
    Listed,
)
from stoq_kube.meta import Raw, metadata, place
from stoq_operator.conditions import Rejected
from stoq_operator.endpointslices import ServiceTable
from stoq_operator.store import Batch, Known, StoreHealth
from stoq_operator.translate.pod import workload

log: Final = logging.getLogger(__name__)

QUIET: Final = 0.02
"""Seconds without news after which a batch is handed on."""

LONGEST: Final = 0.25
"""Seconds after which a batch is handed on while news go on coming."""

LONGEST_REST: Final = 1.0
"""Seconds between the end of the work on a batch and the next one, at most."""

Translate = Callable[[Raw], Known | None]


class ClusterStore:
    """See `Store`. `run` must run beside."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[Key, Known] = {}
        self._changed: dict[Key, Known | None] = {}
        self._news = asyncio.Event()
        self._services = ServiceTable()
        self._problems: dict[str, str] = {}
        self.rejected: dict[Key, Rejected] = {}
        """Objects of our kinds that are no records, as they are now."""
        self._synced = False
        self._pending = {
            str(kind) for kind in (PODS, NAMESPACES, SERVICES, SLICES, *RECORDS.values())
        }

    @property
    def health(self) -> StoreHealth:
        """Problems are by kind, or by the key of an object that can not be read."""
        return StoreHealth(self._synced, dict(self._problems))

    async def run(self) -> None:
        """Reads the watches until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(PODS, "Workload", workload))
            tasks.create_task(self._follow(NAMESPACES, "Namespace", namespace))
            for name, kind in RECORDS.items():
                tasks.create_task(self._follow(kind, name, self._decoder(name)))
            tasks.create_task(self._follow_services())
            tasks.create_task(self._follow_slices())

    async def watch(self) -> AsyncIterator[Batch]:
        """See `Store.watch`."""
        loop = asyncio.get_running_loop()
        rest = 0.0
        while True:
            await self._news.wait()
            await asyncio.sleep(max(0.0, rest - loop.time()))
            end = loop.time() + LONGEST
            seen = -1
            while seen != len(self._changed) and loop.time() < end:
                seen = len(self._changed)
                await asyncio.sleep(QUIET)
            self._news.clear()
            if self._pending:
                continue
            changed, self._changed = self._changed, {}
            began = loop.time()
            if not self._synced:
                self._synced = True
                yield Batch(put=tuple(self._known.values()), complete=True)
            else:
                # An empty one tells that an object was rejected, or is no longer.
                yield Batch(
                    put=tuple(record for record in changed.values() if record is not None),
                    delete=tuple(key for key, record in changed.items() if record is None),
                )
            # In a flood of changes to a large mesh, half of the time is for everything else.
            rest = loop.time() + min(loop.time() - began, LONGEST_REST)

    async def _follow(self, kind: Kind, name: str, translate: Translate) -> None:
        async for event in self._client.watch(kind, report=self._reporter(kind)):
            match event:
                case Listed():
                    known = {*self._known, *self.rejected}
                    for key in known:
                        if key.kind == name and (key.namespace, key.name) not in event.there:
                            self._forget(key)
                    self._listed(kind)
                    # Thousands of names, and the next event may come in hours.
                    del event
                case Deleted(object=raw):
                    self._forget(_key(name, raw))
                case _:
                    self._read(_key(name, event.object), event.object, translate)

    def _read(self, key: Key, raw: Raw, translate: Translate) -> None:
        try:
            record = translate(raw)
        except RecordError as error:
            # What was read before stays in force.
            self._report(str(key), str(error))
            self.rejected[key] = _rejected(raw, error)
            self._news.set()
        else:
            self._report(str(key), "")
            self.rejected.pop(key, None)
            self._put(key, record)

    def _forget(self, key: Key) -> None:
        self._report(str(key), "")
        self.rejected.pop(key, None)
        self._put(key, None)

    async def _follow_services(self) -> None:
        async for event in self._client.watch(SERVICES, report=self._reporter(SERVICES)):
            match event:
                case Listed():
                    self._put_all(self._services.keep_services(event.there))
                    self._listed(SERVICES)
                    del event
                case Deleted(object=raw):
                    self._put(*self._services.drop_service(raw))
                case _:
                    self._put(*self._services.put_service(event.object))

    async def _follow_slices(self) -> None:
        async for event in self._client.watch(SLICES, report=self._reporter(SLICES)):
            match event:
                case Listed():
                    self._put_all(self._services.keep_slices(event.there))
                    self._listed(SLICES)
                    del event
                case Deleted(object=raw):
                    self._put_all(self._services.drop_slice(place(raw)))
                case _:
                    self._put_all(self._services.put_slice(event.object))

    def _decoder(self, kind: str) -> Translate:
        def read(raw: Raw) -> Known:
            # A list of the API server does not repeat what its items are.
            return decode({**raw, "apiVersion": API_VERSION, "kind": KINDS[kind].KIND})

        return read

    def _put_all(self, changes: Iterable[tuple[Key, Known | None]]) -> None:
        for key, record in changes:
            self._put(key, record)

    def _put(self, key: Key, record: Known | None) -> None:
        before = self._known.get(key)
        if before == record:
            return
        if record is None:
            del self._known[key]
        else:
            self._known[key] = record
        self._changed[key] = record
        self._news.set()
        now = record.uid if isinstance(record, Workload) else None
        if isinstance(before, Workload) and before.uid != now:
            self._put_all(self._services.drop_pod(before.uid))
        if isinstance(record, Workload):
            self._put_all(self._services.put_pod(record.uid, record.spec.addresses))

    def _listed(self, kind: Kind) -> None:
        if str(kind) in self._pending:
            self._pending.discard(str(kind))
            self._news.set()

    def _reporter(self, kind: Kind) -> Callable[[str], None]:
        return lambda why: self._report(str(kind), why)

    def _report(self, place: str, why: str) -> None:
        before = self._problems.get(place, "")
        if why == before:
            return
        if why:
            self._problems[place] = why
            log.error("%s: %s; what was read before stays in force", place, why)
        else:
            del self._problems[place]
            log.info("%s: in order again", place)


def namespace(raw: Raw) -> Namespace:
    """Of its status only what we say there: the rest changes while nothing of ours does. What is no
    condition of ours, since somebody else has written it, counts as none.
    """
    conditions = (raw.get("status") or {}).get("conditions") or ()
    own = [item for item in conditions if item.get("type") == NAMESPACE_CONDITION]
    try:
        status = msgspec.convert({"conditions": own}, Status)
    except msgspec.ValidationError:
        status = Status()
    return Namespace(metadata=metadata(raw), status=status)


def _rejected(raw: Raw, error: RecordError) -> Rejected:
    try:
        status = msgspec.convert(raw.get("status") or {}, Status)
    except msgspec.ValidationError:
        status = Status()
    return Rejected(str(error), raw["metadata"].get("generation", 0), status.conditions)


def _key(kind: str, raw: Raw) -> Key:
    return Key(kind, *place(raw))
