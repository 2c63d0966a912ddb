"""Calls with many requests and one response."""

import asyncio

import pytest

from stoq.api.codec import Codec
from stoq.api.errors import BadRequest, NotFound, Status, TimedOut, Unavailable
from stoq.api.method import ClientStream
from stoq.api.stream import CANCELLED
from support.patience import PATIENCE
from unit.stoq_api.conftest import SUM, Number

SIZE = ClientStream("test.v1/Size", bytes, int)


async def total(requests, context):
    return Number(sum([request.value async for request in requests]))


def numbers(*values):
    return [Number(value) for value in values]


@pytest.mark.parametrize("codec", Codec)
async def test_all_requests_reach_the_handler(world, codec):
    server = world.server()
    server.client_stream(SUM, total)
    client = world.client(server, codec=codec)
    assert await client.upload(SUM, numbers(1, 2, 3)) == Number(6)
    assert world.calls == [("test.v1/Sum", Status.OK)]


async def test_requests_may_come_from_an_async_generator(world):
    async def generated():
        for value in range(10):
            await asyncio.sleep(0)
            yield Number(value)

    server = world.server()
    server.client_stream(SUM, total)
    assert await world.client(server).upload(SUM, generated()) == Number(45)


async def test_there_may_be_no_request_at_all(world):
    server = world.server()
    server.client_stream(SUM, total)
    assert await world.client(server).upload(SUM, []) == Number(0)


async def test_an_answer_may_come_before_the_requests_end(world):
    async def first(requests, context):
        return await anext(requests)

    async def endless():
        while True:
            yield Number(7)

    server = world.server()
    server.client_stream(SUM, first)
    answer = world.client(server).upload(SUM, endless())
    assert await asyncio.wait_for(answer, PATIENCE) == Number(7)


async def test_an_error_half_way_is_the_callers(world):
    async def picky(requests, context):
        async for request in requests:
            if request.value == 3:
                raise NotFound("there is no 3")
        return Number(0)

    async def endless():
        value = 0
        while True:
            value += 1
            yield Number(value)

    server = world.server()
    server.client_stream(SUM, picky)
    with pytest.raises(NotFound, match="there is no 3"):
        await asyncio.wait_for(world.client(server).upload(SUM, endless()), PATIENCE)


async def test_a_request_of_the_wrong_shape_half_way_names_its_field(world):
    server = world.server()
    server.client_stream(SUM, total)
    wrong = ClientStream(SUM.name, dict, Number)
    with pytest.raises(BadRequest, match=r"\$.value"):
        await world.client(server).upload(wrong, [{"value": 1}, {"value": "many"}])


async def test_a_handler_that_does_not_read_holds_the_caller_back(world):
    taken = 0
    gate = asyncio.Event()

    async def late(requests, context):
        await gate.wait()
        return sum([len(request) async for request in requests])

    async def many():
        nonlocal taken
        for _ in range(500):
            taken += 1
            yield bytes(10_000)

    server = world.server()
    server.client_stream(SIZE, late)
    call = asyncio.create_task(world.client(server).upload(SIZE, many()))
    before = -1
    while before != taken:
        before = taken
        await asyncio.sleep(0.1)
    assert taken < 500
    gate.set()
    assert await call == 500 * 10_000


async def test_what_the_requests_raise_ends_the_call_on_both_sides(world):
    ended = asyncio.Event()

    async def until_the_end(requests, context):
        try:
            return await total(requests, context)
        finally:
            ended.set()

    def broken():
        yield Number(1)
        raise KeyError("mine")

    server = world.server()
    server.client_stream(SUM, until_the_end)
    with pytest.raises(KeyError, match="mine"):
        await world.client(server).upload(SUM, broken())
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert world.network.streams[0][0].reset_sent == CANCELLED


async def test_a_deadline_ends_a_call_whose_requests_do_not_end(world):
    async def silent():
        yield Number(1)
        await asyncio.sleep(60)

    server = world.server()
    server.client_stream(SUM, total)
    with pytest.raises(TimedOut, match="test.v1/Sum"):
        await world.client(server).upload(SUM, silent(), timeout=0.1)


async def test_a_connection_lost_half_way_is_unavailable(world):
    async def losing():
        yield Number(1)
        world.network.streams[0][0].lose()
        await asyncio.sleep(0.05)
        yield Number(2)

    server = world.server()
    server.client_stream(SUM, total)
    with pytest.raises(Unavailable, match="the connection is gone") as lost:
        await world.client(server).upload(SUM, losing())
    assert not lost.value.untouched
