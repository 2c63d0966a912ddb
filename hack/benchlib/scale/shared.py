"""The registry's state, kept once for all simulated sidecars of a process that have one version."""

from typing import Final, Literal

import msgspec

from stoq.api.method import ServerStream
from stoq.registry import (
    WATCH,
    MeshEntry,
    RegistryState,
    Removed,
    ServiceEntry,
    TrustEntry,
    WatchMessage,
    WatchRequest,
    WorkloadEntry,
    apply,
    digests,
)

KEPT: Final = 64
"""Versions that are kept: sidecars of one process are rarely further apart."""

EMPTY: Final = msgspec.Raw(b"\x90")


class Peek(msgspec.Struct, frozen=True, kw_only=True):
    """A `WatchMessage` whose entries are not decoded yet."""

    type: Literal["snapshot", "delta", "resync"]
    epoch: str
    version: int
    base: int = 0
    buckets: tuple[int, ...] = ()
    mesh: MeshEntry | None = None
    trust: TrustEntry | None = None
    workloads: msgspec.Raw = EMPTY
    services: msgspec.Raw = EMPTY
    removed: Removed = Removed()
    packed: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the entries."""
        plain = len(memoryview(self.workloads)) + len(memoryview(self.services))
        return plain + sum(map(len, self.packed))

    def decoded(self) -> WatchMessage:
        """All of it."""
        return WatchMessage(
            type=self.type,
            epoch=self.epoch,
            version=self.version,
            base=self.base,
            buckets=self.buckets,
            mesh=self.mesh,
            trust=self.trust,
            workloads=msgspec.msgpack.decode(self.workloads, type=tuple[WorkloadEntry, ...]),
            services=msgspec.msgpack.decode(self.services, type=tuple[ServiceEntry, ...]),
            removed=self.removed,
            packed=self.packed,
        )


PEEK: Final = ServerStream(WATCH.name, WatchRequest, Peek)


class Shared:
    """States by epoch and version."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, int], RegistryState] = {}
        self._digested: tuple[RegistryState, tuple[bytes, ...]] | None = None

    def apply(self, state: RegistryState | None, message: Peek) -> RegistryState:
        """The state after `message`. Raises `Gap`."""
        key = (message.epoch, message.version)
        continues = message.type == "snapshot" or (
            state is not None
            and state.version == message.base
            and (message.type == "resync" or state.epoch == message.epoch)
        )
        if continues and key in self._states:
            return self._states[key]
        found = apply(state, message.decoded())
        self._states[key] = found
        if len(self._states) > KEPT:
            del self._states[next(iter(self._states))]
        return found

    def request(self, node: str, state: RegistryState | None) -> WatchRequest:
        """What a sidecar that has `state` asks for."""
        return WatchRequest(
            node=node,
            resume_epoch=state.epoch if state else "",
            resume_version=state.version if state else 0,
            digests=self._digests(state) if state else (),
            packed=True,
        )

    def _digests(self, state: RegistryState) -> tuple[bytes, ...]:
        if self._digested is None or self._digested[0] is not state:
            self._digested = (state, digests(state))
        return self._digested[1]
