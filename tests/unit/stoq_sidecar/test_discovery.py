"""Following the registry over the real API layer in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from stoq.api.call import Context
from stoq.api.errors import Unavailable
from stoq.api.server import ApiServer
from stoq.api.stream import Peer
from stoq.registry import (
    WATCH,
    MeshEntry,
    RegistryState,
    TrustEntry,
    WatchMessage,
    WatchRequest,
    WorkloadEntry,
    digests,
)
from stoq.sealing import Opener, Sealer
from stoq_sidecar.backoff import Backoff
from stoq_sidecar.discovery import LATCH, Discovery
from stoq_sidecar.readiness import Readiness
from support import engines
from support.hours import in_no_time, set_forward
from support.patience import PATIENCE
from support.streams import Network

WEB = Peer("spiffe://td/ns/shop/sa/web")
SNAPSHOT = WatchMessage(
    type="snapshot",
    epoch="e",
    version=1,
    mesh=MeshEntry(trust_domain="td"),
    trust=TrustEntry(roots=(b"root",)),
)
DB = WorkloadEntry(
    uid="db", name="db-0", namespace="shop", spiffe_id="spiffe://td/ns/shop/sa/db",
    addresses=("fd00::4",),
)  # fmt: skip
DELTA = WatchMessage(type="delta", epoch="e", version=2, base=1, workloads=(DB,))


CROWD = tuple(
    WorkloadEntry(
        uid=f"w{number}",
        name=f"w-{number}",
        namespace="shop",
        spiffe_id="spiffe://td/ns/shop/sa/db",
        addresses=(f"fd00::{number:x}",),
    )
    for number in range(1, 101)
)
CROWDED = msgspec.structs.replace(SNAPSHOT, workloads=CROWD)
"""Of a mesh that takes 0.2 s to come back."""

SOON = Backoff(0.001, 0.01)


class Registry:
    """Plays one script per watch: messages, and an exception to end with (None: stay)."""

    def __init__(self, *scripts: list[WatchMessage | Exception], ends: bool = False) -> None:
        self.scripts, self.ends = list(scripts), ends
        self.requests: list[WatchRequest] = []
        self.network = Network(WEB)

    async def watch(self, request: WatchRequest, _: Context) -> AsyncIterator[WatchMessage]:
        self.requests.append(request)
        for step in self.scripts.pop(0) if self.scripts else []:
            if isinstance(step, Exception):
                self.network.down = self.ends
                raise step
            yield step
        await asyncio.Event().wait()


class World:
    def __init__(
        self,
        registry: Registry,
        *,
        refuse: int | None = None,
        opener: Opener | None = None,
        backoff: Backoff = SOON,
    ) -> None:
        self.registry, self.refuse = registry, refuse
        self.used: list[RegistryState] = []
        self.readiness = Readiness([LATCH])
        self.refusals = 0
        self.discovery = Discovery(
            lambda: registry.network,
            self.use,
            "shop/web-0",
            backoff,
            self.readiness,
            self.refused,
            opener,
        )

    def refused(self) -> None:
        self.refusals += 1

    def use(self, state: RegistryState) -> None:
        if state.version == self.refuse:
            raise ValueError("workloads[0].addresses: the list is empty")
        self.used.append(state)

    async def run(self, enough: Callable[[], bool]) -> None:
        server = ApiServer()
        server.server_stream(WATCH, self.registry.watch)
        tasks = [
            asyncio.create_task(server.serve(self.registry.network)),
            asyncio.create_task(self.discovery.run()),
        ]
        try:
            async with asyncio.timeout(PATIENCE):
                while not enough():  # noqa: ASYNC110  (the product knows nothing of this wait)
                    await asyncio.sleep(0.002)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.registry.network.close()


async def test_snapshot_and_deltas_are_put_in_force_in_order() -> None:
    world = World(Registry([SNAPSHOT, DELTA]))
    await world.run(lambda: len(world.used) == 2)
    assert [state.version for state in world.used] == [1, 2]
    assert list(world.used[1].workloads) == ["db"]
    assert world.readiness.ready
    assert world.registry.requests == [WatchRequest(node="shop/web-0", packed=True)]


async def test_a_lost_registry_is_resumed_and_meanwhile_marked_stale() -> None:
    world = World(Registry([SNAPSHOT, Unavailable("going down")], [DELTA]))
    stale = []

    def enough() -> bool:
        stale.append(world.discovery.status.stale)
        return len(world.used) == 2

    await world.run(enough)
    assert world.registry.requests[1] == WatchRequest(
        node="shop/web-0",
        resume_epoch="e",
        resume_version=1,
        digests=digests(world.used[0]),
        packed=True,
    )
    assert world.discovery.status.reconnects == 1
    assert not world.discovery.status.stale


async def test_who_knows_of_many_others_does_not_come_back_at_once_with_all_of_them() -> None:
    script: list[WatchMessage | Exception] = [CROWDED, Unavailable("going down")]
    # The back-off alone is 1 ms, nine times; nine draws from the 0.2 s of 100 are under 0.2 s once
    # in 9! times.
    world = World(Registry(*[script] * 10), backoff=Backoff(0.001, 10.0))
    began = time.monotonic()
    await world.run(lambda: len(world.used) == 10)
    assert time.monotonic() - began > 0.2


async def test_who_reaches_nobody_tries_again_when_all_others_have_had_their_turn() -> None:
    registry = Registry([CROWDED, Unavailable("going down")], ends=True)
    world = World(registry, backoff=Backoff(0.001, 10.0))
    began = time.monotonic()
    # The end of the stream, a dial after a draw, and five more, each 0.2 s after the one before.
    await world.run(lambda: world.discovery.status.reconnects >= 7)
    assert time.monotonic() - began > 0.9


async def test_while_the_registry_is_down_the_last_state_stays() -> None:
    world = World(Registry([SNAPSHOT, Unavailable("going down")], ends=True))
    await world.run(lambda: world.discovery.status.reconnects >= 3)
    assert world.discovery.state == world.used[0]
    assert world.discovery.status.stale
    assert "nobody listens" in world.discovery.status.last_error


async def test_a_gap_is_answered_by_asking_for_everything() -> None:
    gap = WatchMessage(type="delta", epoch="e", version=9, base=8)
    world = World(Registry([SNAPSHOT, gap], [SNAPSHOT, DELTA]))
    await world.run(lambda: len(world.used) == 3)
    assert world.registry.requests[1] == WatchRequest(node="shop/web-0", packed=True)


async def test_packed_entries_that_cannot_be_read_are_asked_for_anew() -> None:
    garbled = WatchMessage(type="delta", epoch="e", version=2, base=1, packed=(b"no zlib",))
    world = World(Registry([SNAPSHOT, garbled], [SNAPSHOT, DELTA]))
    await world.run(lambda: len(world.used) == 3)
    assert world.registry.requests[1] == WatchRequest(node="shop/web-0", packed=True)
    assert list(world.used[2].workloads) == ["db"]


async def test_a_state_that_the_engine_refuses_leaves_the_one_before_in_force(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(Registry([SNAPSHOT, DELTA]), refuse=2)
    await world.run(lambda: world.discovery.status.refused == 1)
    assert [state.version for state in world.used] == [1]
    assert "version 2 of the registry cannot be used: workloads[0].addresses" in caplog.text


async def test_a_first_state_that_is_refused_does_not_make_ready() -> None:
    world = World(Registry([SNAPSHOT]), refuse=1)
    await world.run(lambda: world.discovery.status.refused == 1)
    assert world.readiness.blocking() == {LATCH: "workloads[0].addresses: the list is empty"}


async def test_only_a_registry_that_refuses_our_certificate_is_told_to_the_keeper() -> None:
    refusal = "aborted by peer: the cryptographic handshake failed: error 44: serial 0a is revoked"
    world = World(Registry([Unavailable("no route")], [Unavailable(refusal)], [SNAPSHOT]))
    await world.run(lambda: bool(world.used))
    assert world.discovery.status.reconnects == 2
    assert world.refusals == 1


async def test_what_is_not_signed_by_the_control_plane_leaves_the_last_state_in_force() -> None:
    ca = engines.authority()
    sealer = Sealer(engines.identity(ca, engines.SERVER).sign_statement, time.time)
    forging = Sealer(engines.identity(ca, engines.CLIENT).sign_statement, time.time)
    opener = Opener(
        engines.identity(ca, engines.CLIENT).verify_statement, engines.SERVER, required=True
    )
    first: list[WatchMessage | Exception] = [
        sealer.seal(SNAPSHOT, b""),
        forging.seal(DELTA, b""),
    ]
    world = World(Registry(first, [DELTA], [sealer.seal(DELTA, b"")]), opener=opener)
    await world.run(lambda: len(world.used) == 2)
    assert [state.version for state in world.used] == [1, 2]
    assert world.discovery.status.unsealed == 2
    assert [request.signed for request in world.registry.requests] == [True] * 3
    assert [request.resume_version for request in world.registry.requests] == [0, 1, 1]


class Slow(World):
    """Putting a state in force takes a long time, in which others come."""

    def use(self, state: RegistryState) -> None:
        super().use(state)
        set_forward(1.0)


def delta(version: int, **said: Any) -> WatchMessage:
    return WatchMessage(type="delta", epoch="e", version=version, base=version - 1, **said)


@in_no_time
async def test_of_many_changes_of_a_large_mesh_the_last_is_put_in_force_in_its_time() -> None:
    world = Slow(
        Registry([SNAPSHOT, *(delta(version, workloads=(DB,)) for version in range(2, 8))])
    )
    await world.run(lambda: len(world.used) == 2)
    assert [state.version for state in world.used] == [1, 7]


@in_no_time
async def test_what_is_allowed_and_whom_to_trust_is_put_in_force_at_once() -> None:
    strict = delta(3, mesh=MeshEntry(trust_domain="td", inbound="strict"))
    revoked = delta(4, trust=TrustEntry(roots=(b"root",), revoked=("1",)))
    world = Slow(Registry([SNAPSHOT, delta(2, workloads=(DB,)), strict, revoked]))
    await world.run(lambda: len(world.used) == 3)
    assert [state.version for state in world.used] == [1, 3, 4]
    assert list(world.used[1].workloads) == ["db"]
