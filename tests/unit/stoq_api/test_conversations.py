"""Calls with many requests and many responses."""

import asyncio

import pytest

from stoq.api.codec import Codec
from stoq.api.errors import BadRequest, NotFound, Status, TimedOut, Unavailable
from stoq.api.framing import MAX_BODY
from stoq.api.method import Bidirectional
from stoq.api.stream import CANCELLED
from support.patience import PATIENCE
from unit.stoq_api.conftest import ECHO, Number


async def echo(requests, context):
    async for request in requests:
        yield request


@pytest.mark.parametrize("codec", Codec)
async def test_each_request_is_answered_before_the_next(world, codec):
    server = world.server()
    server.bidirectional(ECHO, echo)
    async with world.client(server, codec=codec).converse(ECHO) as conversation:
        for value in range(5):
            await conversation.send(Number(value))
            assert await anext(conversation) == Number(value)
        await conversation.finish()
        assert [response async for response in conversation] == []
    await asyncio.sleep(0)
    assert world.calls == [("test.v1/Echo", Status.OK)]


async def test_one_task_may_send_while_another_reads(world):
    server = world.server()
    server.bidirectional(ECHO, echo)

    async def send_all(conversation):
        for value in range(500):
            await conversation.send(Number(value))
        await conversation.finish()

    async with world.client(server).converse(ECHO) as conversation:
        sending = asyncio.create_task(send_all(conversation))
        received = [response.value async for response in conversation]
        await sending
    assert received == list(range(500))


async def test_the_server_may_speak_first_and_end_first(world):
    async def greet(requests, context):
        yield Number(1)

    server = world.server()
    server.bidirectional(ECHO, greet)
    async with world.client(server).converse(ECHO) as conversation:
        assert [response.value async for response in conversation] == [1]


async def test_sending_to_a_call_that_has_failed_says_why(world):
    async def refuse(requests, context):
        raise NotFound("nothing to talk about")
        yield

    server = world.server()
    server.bidirectional(ECHO, refuse)
    async with world.client(server).converse(ECHO) as conversation:
        with pytest.raises(NotFound, match="nothing to talk about"):
            await anext(conversation)


async def test_leaving_the_block_ends_the_handler(world):
    ended = asyncio.Event()

    async def until_the_end(requests, context):
        try:
            async for request in requests:
                yield request
        finally:
            ended.set()

    server = world.server()
    server.bidirectional(ECHO, until_the_end)
    async with world.client(server).converse(ECHO) as conversation:
        await conversation.send(Number(1))
        await anext(conversation)
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert world.network.streams[0][0].reset_sent == CANCELLED


async def test_a_handler_that_computes_hears_of_a_caller_that_left(world):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def deep(requests, context):
        begun.set()
        try:
            await asyncio.sleep(60)
            yield Number(1)
        finally:
            ended.set()

    server = world.server()
    server.bidirectional(ECHO, deep)
    async with world.client(server).converse(ECHO) as conversation:
        await conversation.finish()
        await asyncio.wait_for(begun.wait(), PATIENCE)
        # Long enough for its call to be watched.
        await asyncio.sleep(0.05)
    await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_a_deadline_bounds_the_whole_conversation(world):
    server = world.server()
    server.bidirectional(ECHO, echo)
    with pytest.raises(TimedOut):
        async with world.client(server).converse(ECHO, timeout=0.1) as conversation:
            await anext(conversation)


async def test_a_request_too_long_for_a_frame_is_the_callers_own_bad_request(world):
    server = world.server()
    server.bidirectional(ECHO, echo)
    huge = Bidirectional(ECHO.name, bytes, Number)
    async with world.client(server).converse(huge) as conversation:
        with pytest.raises(BadRequest, match="does not fit"):
            await conversation.send(bytes(MAX_BODY + 1))


async def test_sending_over_a_lost_connection_is_unavailable(world):
    server = world.server()
    server.bidirectional(ECHO, echo)
    async with world.client(server).converse(ECHO) as conversation:
        world.network.streams[0][0].lose()
        with pytest.raises(Unavailable, match="the connection is gone"):
            await conversation.send(Number(1))
            await conversation.send(Number(2))
