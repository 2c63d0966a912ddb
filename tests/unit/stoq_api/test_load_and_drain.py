"""What a server takes at once, and how it stops."""

import asyncio

import pytest

from stoq.api.call import ServerLimits
from stoq.api.errors import Unavailable
from stoq.api.load import Load
from stoq.api.stream import DRAINING, Peer
from support.patience import PATIENCE
from unit.stoq_api.conftest import COUNT, DOUBLE, WEB, Number

API = Peer("spiffe://example.org/ns/shop/sa/api", "02")


class Gate:
    """A handler that waits until it is let go."""

    def __init__(self):
        self.running = asyncio.Event()
        self.open = asyncio.Event()

    async def double(self, request, context):
        self.running.set()
        await self.open.wait()
        return Number(request.value * 2)


def test_each_peer_at_each_address_has_calls_of_its_own():
    load = Load(ServerLimits(peer_calls=1))
    assert load.add(WEB, "[fd00::1]:1000") is None
    assert load.add(API, "[fd00::1]:1000") is None
    assert load.add(WEB, "[fd00::2]:1000") is None
    refusal = load.add(WEB, "[fd00::1]:2000")
    assert refusal is not None
    assert "1 calls of spiffe://example.org/ns/shop/sa/web" in refusal


def test_a_call_that_has_ended_makes_room_for_the_next():
    load = Load(ServerLimits(peer_calls=1))
    for _ in range(3):
        assert load.add(WEB, "[fd00::1]:1000") is None
        load.remove(WEB, "[fd00::1]:1000")
    assert load.all == 0


async def test_a_peer_beyond_its_limit_is_told_and_others_are_served(world):
    gate = Gate()
    server = world.server(ServerLimits(peer_calls=1))
    server.unary(DOUBLE, gate.double)
    greedy, modest = world.client(server), world.client(server, peer=API)
    first = asyncio.create_task(greedy.call(DOUBLE, Number(1)))
    await gate.running.wait()
    with pytest.raises(Unavailable, match="the limit for each") as refused:
        await greedy.call(DOUBLE, Number(2))
    assert refused.value.untouched
    gate.open.set()
    assert await modest.call(DOUBLE, Number(3)) == Number(6)
    assert await first == Number(2)


async def test_a_server_that_drains_finishes_what_it_has_and_refuses_the_rest(world):
    gate = Gate()
    server = world.server()
    server.unary(DOUBLE, gate.double)
    client = world.client(server)
    running = asyncio.create_task(client.call(DOUBLE, Number(1)))
    await gate.running.wait()
    draining = asyncio.create_task(server.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="shutting down") as refused:
        await client.call(DOUBLE, Number(2))
    assert refused.value.untouched
    assert not draining.done()
    gate.open.set()
    assert await running == Number(2)
    await asyncio.wait_for(draining, PATIENCE)


async def test_an_idle_server_has_drained_at_once(world):
    await asyncio.wait_for(world.server().drain(30), PATIENCE)


async def test_what_does_not_end_in_time_is_cut_off_and_told_so(world):
    ended = asyncio.Event()

    async def endless(request, context):
        try:
            yield Number(1)
            await asyncio.sleep(60)
        finally:
            ended.set()

    server = world.server()
    server.server_stream(COUNT, endless)
    client = world.client(server)
    with pytest.raises(Unavailable, match="0x19") as lost:
        async with client.stream(COUNT, Number(1)) as messages:
            await anext(messages)
            await asyncio.wait_for(server.drain(0.05), PATIENCE)
            await anext(messages)
    assert ended.is_set()
    assert world.network.streams[0][1].reset_sent == DRAINING
    assert not lost.value.untouched


async def test_an_error_that_a_handler_passes_on_does_not_claim_that_nothing_happened(world):
    async def gateway(request, context):
        raise Unavailable("the database is away", untouched=True)

    server = world.server()
    server.unary(DOUBLE, gateway)
    with pytest.raises(Unavailable) as failed:
        await world.client(server).call(DOUBLE, Number(1))
    assert not failed.value.untouched
