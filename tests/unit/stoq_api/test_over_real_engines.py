"""The API layer over two engines on loopback: what only a real connection can show."""

import asyncio
import gc
import time
import tracemalloc

import msgspec
import pytest

from stoq.api.client import ApiClient
from stoq.api.errors import TimedOut, Unavailable
from stoq.api.framing import Kind, encode
from stoq.api.method import CallHeader, ServerStream, Unary
from stoq.api.server import ApiServer
from stoq.api.stream import CANCELLED
from stoq.engine import (
    CertificateAuthority,
    Engine,
    EngineSettings,
    HybridKey,
    Listener,
    TlsContext,
    Transport,
)
from support.hours import set_forward
from support.patience import PATIENCE
from unit.stoq_api.conftest import COUNT, DOUBLE, Number

SERVER = "spiffe://example.org/ns/stoq-system/sa/stoq-operator"
CLIENT = "spiffe://example.org/ns/shop/sa/web"
BLOB = Unary("test.v1/Blob", Number, bytes)
BLOBS = ServerStream("test.v1/Blobs", Number, bytes)


@pytest.fixture(scope="module")
def authority():
    now = int(time.time())
    return CertificateAuthority.create("example.org", now - 60, now + 3600)


def context(authority, spiffe_id):
    now = int(time.time())
    key, tls = HybridKey.generate(), TlsContext()
    tls.set_trust("example.org", [authority.root])
    tls.set_identity(key, authority.issue(key.csr(), spiffe_id, now - 30, now + 600))
    return tls


class Pair:
    """A server and a client, each with an engine of its own."""

    def __init__(self, server_engine, client_engine):
        self.server = ApiServer()
        self.server_engine = server_engine
        address = f"[::1]:{server_engine.local_port('bootstrap')}"
        self.client = ApiClient(client_engine.dialler(address, SERVER))


@pytest.fixture
async def pair(authority):
    settings = EngineSettings(workers=1, bootstrap=Listener(listen="[::1]:0"))
    async with (
        Engine(settings, context(authority, SERVER)) as server,
        Engine(EngineSettings(workers=2), context(authority, CLIENT)) as client,
    ):
        found = Pair(server, client)
        serving = asyncio.create_task(found.server.serve(server.acceptor()))
        yield found
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_the_handler_sees_the_identity_that_was_proven(pair):
    peers = []

    async def double(request, context):
        peers.append((context.peer.spiffe_id, bool(context.peer.serial)))
        return Number(request.value * 2)

    pair.server.unary(DOUBLE, double)
    assert await pair.client.call(DOUBLE, Number(21)) == Number(42)
    assert peers == [(CLIENT, True)]


async def test_many_calls_share_the_connection(pair):
    async def double(request, context):
        return Number(request.value * 2)

    pair.server.unary(DOUBLE, double)
    calls = (pair.client.call(DOUBLE, Number(n)) for n in range(300))
    assert await asyncio.gather(*calls) == [Number(n * 2) for n in range(300)]


async def test_a_long_answer_arrives_whole(pair):
    async def blob(request, context):
        return bytes(range(256)) * (request.value // 256)

    pair.server.unary(BLOB, blob)
    answer = await pair.client.call(BLOB, Number(8_000_000))
    assert answer == bytes(range(256)) * (8_000_000 // 256)


async def test_a_reader_that_stops_holds_the_server_back(pair):
    sent = 0

    async def blobs(request, context):
        nonlocal sent
        while True:
            sent += 1
            yield bytes(100_000)

    pair.server.server_stream(BLOBS, blobs)
    async with pair.client.stream(BLOBS, Number(1)) as messages:
        await anext(messages)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.3)
        assert sent * 100_000 < 20_000_000
        for _ in range(200):
            await anext(messages)


async def test_leaving_a_stream_ends_its_handler(pair):
    ended = asyncio.Event()

    async def idle(request, context):
        try:
            yield Number(1)
            await asyncio.sleep(60)
        finally:
            ended.set()

    pair.server.server_stream(COUNT, idle)
    async with pair.client.stream(COUNT, Number(1)) as messages:
        await anext(messages)
    await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_deadline_ends_a_call_at_both_ends(pair):
    running, ended = asyncio.Event(), asyncio.Event()

    async def never(request, context):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    pair.server.unary(DOUBLE, never)
    call = asyncio.create_task(pair.client.call(DOUBLE, Number(1), timeout=1000))
    await asyncio.wait_for(running.wait(), PATIENCE)
    set_forward(1000)
    with pytest.raises(TimedOut):
        await call
    await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_server_that_ends_leaves_its_callers_unavailable(pair):
    async def idle(request, context):
        yield Number(1)
        await asyncio.sleep(60)

    pair.server.server_stream(COUNT, idle)
    async with pair.client.stream(COUNT, Number(1)) as messages:
        await anext(messages)
        await pair.server_engine.stop()
        with pytest.raises(Unavailable):
            await anext(messages)


async def test_a_message_that_its_receiver_does_not_take_is_held_once(authority):
    size = 6 << 20
    made = asyncio.Event()

    async def blobs(_request, _context):
        said = [bytes(size)]
        made.set()
        yield said.pop()

    slow = Transport(stream_window=16_384, connection_window=16_384)
    async with (
        Engine(
            EngineSettings(workers=1, bootstrap=Listener(listen="[::1]:0")),
            context(authority, SERVER),
        ) as server_engine,
        Engine(EngineSettings(workers=1, transport=slow), context(authority, CLIENT)) as client,
    ):
        pair = Pair(server_engine, client)
        pair.server.server_stream(BLOBS, blobs)
        serving = asyncio.create_task(pair.server.serve(server_engine.acceptor()))
        address = f"[::1]:{server_engine.local_port('bootstrap')}"
        stream = await client.dialler(address, SERVER).open()
        tracemalloc.start()
        try:
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            await stream.send(
                encode(Kind.HEADER, msgspec.msgpack.encode(CallHeader(BLOBS.name)))
                + encode(Kind.MESSAGE, msgspec.msgpack.encode(Number(1)))
            )
            async with asyncio.timeout(PATIENCE):
                await made.wait()
                # The status is there: the message itself waits. msgspec keeps up to half more.
                assert await stream.recv()
                after, _ = tracemalloc.get_traced_memory()
                while after - before > 2 * size:
                    await asyncio.sleep(0.01)
                    after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before > 0.9 * size
        stream.reset(CANCELLED)
        stream.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
