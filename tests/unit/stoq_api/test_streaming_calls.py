import asyncio
import tracemalloc
import weakref

import msgspec
import pytest

from stoq.api.errors import NotFound, Status, TimedOut, Unavailable
from stoq.api.method import ServerStream, Unary
from stoq.api.stream import CANCELLED
from support.patience import PATIENCE, until
from unit.stoq_api.conftest import COUNT, DOUBLE, Number


async def count(request, context):
    for value in range(request.value):
        yield Number(value)


async def collect(client, request, **options):
    async with client.stream(COUNT, request, **options) as messages:
        return [message.value async for message in messages]


async def test_a_stream_delivers_its_messages_in_order(world):
    server = world.server()
    server.server_stream(COUNT, count)
    assert await collect(world.client(server), Number(5)) == [0, 1, 2, 3, 4]
    assert world.calls == [("test.v1/Count", Status.OK)]


async def test_a_stream_may_be_empty(world):
    server = world.server()
    server.server_stream(COUNT, count)
    assert await collect(world.client(server), Number(0)) == []


async def test_a_stream_that_fails_half_way_delivers_what_came_before(world):
    async def some(request, context):
        yield Number(1)
        raise NotFound("the rest is missing")

    server = world.server()
    server.server_stream(COUNT, some)
    received = []
    with pytest.raises(NotFound, match="the rest is missing"):
        async with world.client(server).stream(COUNT, Number(1)) as messages:
            async for message in messages:
                received.append(message.value)
    assert received == [1]


async def test_leaving_a_stream_early_closes_the_handler(world):
    closed = asyncio.Event()

    async def endless(request, context):
        try:
            while True:
                yield Number(1)
                await asyncio.sleep(0)
        finally:
            closed.set()

    server = world.server()
    server.server_stream(COUNT, endless)
    async with world.client(server).stream(COUNT, Number(1)) as messages:
        async for _ in messages:
            break
    await asyncio.wait_for(closed.wait(), PATIENCE)


async def test_a_reader_that_stops_reading_holds_the_handler_back(world):
    produced = 0

    async def flood(request, context):
        nonlocal produced
        while True:
            produced += 1
            yield Number(2**60)

    server = world.server()
    server.server_stream(COUNT, flood)
    async with world.client(server).stream(COUNT, Number(1)) as messages:
        await anext(messages)
        before = -1
        while before != produced:
            before = produced
            await asyncio.sleep(0.05)
    assert produced < 1_000_000


async def test_an_idle_stream_has_no_end_of_its_own(world):
    async def idle(request, context):
        yield Number(1)
        await asyncio.sleep(0.2)
        yield Number(2)

    server = world.server()
    server.server_stream(COUNT, idle)
    assert await collect(world.client(server), Number(1)) == [1, 2]


async def test_a_stream_with_a_deadline_ends_with_it(world):
    async def idle(request, context):
        yield Number(1)
        await asyncio.sleep(60)

    server = world.server()
    server.server_stream(COUNT, idle)
    with pytest.raises(TimedOut):
        await collect(world.client(server), Number(1), timeout=0.1)


async def test_a_lost_connection_is_unavailable_at_the_caller_and_ends_the_handler(world):
    closed = asyncio.Event()

    async def idle(request, context):
        try:
            yield Number(1)
            await asyncio.sleep(60)
        finally:
            closed.set()

    server = world.server()
    server.server_stream(COUNT, idle)
    with pytest.raises(Unavailable, match="the connection is gone"):
        async with world.client(server).stream(COUNT, Number(1)) as messages:
            async for _ in messages:
                world.network.streams[0][0].lose()
    await asyncio.wait_for(closed.wait(), PATIENCE)
    await asyncio.sleep(0)
    assert world.network.streams[0][1].reset_sent == CANCELLED


async def test_a_server_that_stops_makes_its_streams_unavailable(world):
    async def idle(request, context):
        yield Number(1)
        await asyncio.sleep(60)

    server = world.server()
    server.server_stream(COUNT, idle)
    client = world.client(server)
    with pytest.raises(Unavailable, match="0x19"):
        async with client.stream(COUNT, Number(1)) as messages:
            async for _ in messages:
                world.tasks[-1].cancel()


async def test_serving_ends_when_the_acceptor_does(world):
    server = world.server()
    world.client(server)
    world.network.shut_down()
    await asyncio.wait_for(world.tasks[-1], PATIENCE)


async def test_a_unary_caller_refuses_a_stream_of_answers(world):
    server = world.server()
    server.server_stream(COUNT, count)
    with pytest.raises(Unavailable, match="3 answers where one belongs"):
        await world.client(server).call(Unary(COUNT.name, Number, Number), Number(3))


async def test_an_error_of_the_callers_own_block_is_left_alone(world):
    server = world.server()
    server.server_stream(COUNT, count)
    with pytest.raises(TimeoutError, match="mine"):
        async with world.client(server).stream(COUNT, Number(3), timeout=30):
            raise TimeoutError("mine")
    assert DOUBLE.name not in str(world.calls)


class Large(msgspec.Struct, weakref=True):
    value: bytes


LARGE = ServerStream("test.v1/Large", Large, Large)


async def test_a_call_that_waits_holds_neither_its_request_nor_what_it_sent(world):
    asked = []

    async def watch(request, context):
        asked.append(weakref.ref(request))
        del request
        yield Large(b"x" * 1_000_000)
        await asyncio.Event().wait()

    server = world.server()
    server.server_stream(LARGE, watch)
    tracemalloc.start()
    try:
        async with world.client(server).stream(LARGE, Large(b"")) as messages:
            assert len((await anext(messages)).value) == 1_000_000
            waiting = asyncio.ensure_future(anext(messages))
            # The handler goes on, and lets go of it, in a turn of its own.
            await until(lambda: tracemalloc.get_traced_memory()[0] < 1_000_000)
            assert asked[0]() is None
            waiting.cancel()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most > 1_000_000
