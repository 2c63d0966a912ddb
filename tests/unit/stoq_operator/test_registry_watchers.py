"""Many watchers of a registry over real engines: what each costs, and that each is told."""

import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from stoq.api.call import ServerLimits
from stoq.api.framing import Decoder, Kind, encode
from stoq.api.method import CallHeader
from stoq.api.server import ApiServer
from stoq.registry import WATCH, MeshEntry, TrustEntry, WatchMessage, WatchRequest, WorkloadEntry
from stoq.sealing import Sealer
from stoq_operator.derive import Derived
from stoq_operator.index import Index
from stoq_operator.metrics import Metrics
from stoq_operator.registry import Registry
from support import engines
from support.patience import PATIENCE, until

PODS = 250
FIRST = 100
"""Watchers whose arrival also fills what is kept once for all. For each of a few this would be as
much as they cost themselves: a sealer's 64 statements, and tables that double.
"""


def derived(pods):
    workloads = {
        uid: WorkloadEntry(
            uid=uid, name=uid, namespace="shop", spiffe_id=engines.CLIENT, addresses=(address,)
        )
        for uid, address in pods.items()
    }
    meshes = {
        uid: MeshEntry(trust_domain=engines.TRUST_DOMAIN, own=own) for uid, own in workloads.items()
    }
    return Derived(workloads=workloads, meshes=meshes)


def pods(**others):
    return {f"web-{number}": f"fd00::{number:x}" for number in range(PODS)} | others


class Watched:
    """A registry behind an engine, and watchers that are streams and no more."""

    def __init__(self, server, client, sign):
        self.metrics = Metrics()
        self.registry = Registry(Index("here", 1), self.metrics, Sealer(sign, time.time))
        self.registry.update(derived(pods()), TrustEntry(roots=(b"root",)))
        self.server = ApiServer(ServerLimits(request_timeout=PATIENCE))
        self.registry.register(self.server)
        self.dialler = client.dialler(engines.address(server), engines.SERVER)

    async def watch(self, number):
        stream = await self.dialler.open()
        request = WatchRequest(node=f"shop/web-{number}", packed=True, signed=True)
        await stream.send(
            encode(Kind.HEADER, msgspec.msgpack.encode(CallHeader(WATCH.name)))
            + encode(Kind.MESSAGE, msgspec.msgpack.encode(request))
        )
        return stream

    @property
    def watchers(self):
        return self.metrics.registry.get_sample_value("stoq_registry_watchers")


async def told(stream, kind):
    """Waits for a message of that kind."""
    decoder = Decoder(1 << 20)
    while True:
        while (frame := decoder.next()) is None:
            data = await stream.recv()
            assert data, "the stream has ended"
            decoder.feed(data)
        if frame.kind is Kind.MESSAGE:
            message = msgspec.msgpack.decode(frame.body, type=WatchMessage)
            assert message.type == kind
            return message


@pytest.fixture
async def watched():
    ca = engines.authority()
    operator = engines.identity(ca, engines.SERVER)
    async with (
        engines.Engine(engines.server_settings(), operator) as server,
        engines.Engine(engines.client_settings(), engines.identity(ca, engines.CLIENT)) as client,
    ):
        found = Watched(server, client, operator.sign_statement)
        serving = asyncio.create_task(found.server.serve(server.acceptor()))
        yield found
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def come(watched, numbers):
    streams = [await watched.watch(number) for number in numbers]
    for stream in streams:
        await told(stream, "snapshot")
    # The guards of their calls have begun to watch them.
    await asyncio.sleep(0.1)
    return streams


@contextmanager
def lines_uncounted() -> Iterator[None]:
    """Without the tracer that counts lines: it makes a frame object of each waiting coroutine."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


async def test_a_watcher_that_waits_costs_less_than_five_kilobytes_on_both_sides(watched):
    # Before the first of them, else a table that has to grow later counts as if it were new.
    tracemalloc.start()
    try:
        with lines_uncounted():
            streams = await come(watched, range(FIRST))
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            streams += await come(watched, range(FIRST, PODS))
        assert watched.watchers == PODS

        def each() -> float:
            gc.collect()
            return (tracemalloc.get_traced_memory()[0] - before) / (PODS - FIRST)

        # What was sent is held until it has been acknowledged.
        await until(lambda: each() < 5000)
    finally:
        tracemalloc.stop()


async def test_every_watcher_is_told_of_a_change_and_none_that_has_left(watched):
    streams = await come(watched, range(30))
    for stream in streams[:10]:
        stream.reset(0x16)
        stream.close()
    await until(lambda: watched.watchers == 20)
    watched.registry.update(derived(pods(db="fd00::db")), TrustEntry(roots=(b"root",)))
    for stream in streams[10:]:
        message = await told(stream, "delta")
        assert message.sealed
    assert watched.watchers == 20


async def test_a_watcher_that_talks_on_is_told_so_and_ends(watched):
    [stream] = await come(watched, [0])
    await stream.send(encode(Kind.MESSAGE, b"\x80"))
    received = b""
    while data := await stream.recv():
        received += data
    assert b"a second message came where the method takes one request" in received
    await until(lambda: watched.watchers == 0)


async def test_a_watcher_that_has_finished_its_direction_is_told_on_and_noticed_when_it_leaves(
    watched,
):
    [stream] = await come(watched, [0])
    await stream.send(b"", end=True)
    watched.registry.update(derived(pods(db="fd00::db")), TrustEntry(roots=(b"root",)))
    await told(stream, "delta")
    stream.close()
    await until(lambda: watched.watchers == 0)
