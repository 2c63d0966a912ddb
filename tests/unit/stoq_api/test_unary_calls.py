import asyncio

import pytest

from stoq.api.call import ServerLimits
from stoq.api.codec import Codec
from stoq.api.errors import (
    ApiError,
    BadRequest,
    NotFound,
    Status,
    TimedOut,
    Unauthorised,
    Unavailable,
)
from stoq.api.method import Unary
from stoq.api.server import ApiServer
from stoq.api.stream import CANCELLED
from support.hours import set_forward
from support.patience import PATIENCE
from unit.stoq_api.conftest import DOUBLE, WEB, Number


async def double(request, context):
    return Number(request.value * 2)


@pytest.mark.parametrize("codec", Codec)
async def test_a_call_is_answered(world, codec):
    server = world.server()
    server.unary(DOUBLE, double)
    client = world.client(server, codec=codec)
    assert await client.call(DOUBLE, Number(21)) == Number(42)
    assert world.calls == [("test.v1/Double", Status.OK)]
    caller, _served = world.network.streams[0]
    assert caller.closed
    assert caller.reset_sent is None


async def test_calls_run_side_by_side(world):
    gate = asyncio.Event()

    async def wait_for_second(request, context):
        if request.value == 2:
            gate.set()
        await gate.wait()
        return request

    server = world.server()
    server.unary(DOUBLE, wait_for_second)
    client = world.client(server)
    answers = await asyncio.gather(*(client.call(DOUBLE, Number(n)) for n in (1, 2)))
    assert answers == [Number(1), Number(2)]


async def test_the_handler_sees_who_calls_and_the_connection_binding(world):
    seen = []

    async def look(request, context):
        seen.append((context.peer, context.exporter("label"), context.deadline.at is not None))
        return request

    server = world.server()
    server.unary(DOUBLE, look)
    client = world.client(server)
    await client.call(DOUBLE, Number(1))
    caller, _ = world.network.streams[0]
    assert seen == [(WEB, caller.exporter("label"), True)]


@pytest.mark.parametrize("error", [TimedOut, NotFound, Unauthorised, BadRequest, Unavailable])
async def test_an_error_raised_by_the_handler_is_raised_at_the_caller(world, error):
    async def refuse(request, context):
        raise error(f"value {request.value} is not welcome")

    server = world.server()
    server.unary(DOUBLE, refuse)
    with pytest.raises(ApiError, match="value 7 is not welcome") as raised:
        await world.client(server).call(DOUBLE, Number(7))
    assert type(raised.value) is error


async def test_a_fault_in_the_handler_tells_the_caller_nothing_of_the_inside(world, caplog):
    async def fail(request, context):
        raise KeyError("secret detail")

    server = world.server()
    server.unary(DOUBLE, fail)
    with pytest.raises(Unavailable) as raised:
        await world.client(server).call(DOUBLE, Number(1))
    assert "secret" not in str(raised.value)
    assert "secret detail" in caplog.text


async def test_an_unknown_method_is_not_found(world):
    with pytest.raises(NotFound, match="test.v1/Double"):
        await world.client(world.server()).call(DOUBLE, Number(1))
    assert world.calls == [("", Status.NOT_FOUND)]


async def test_a_caller_without_certificate_is_refused_by_default(world):
    server = world.server()
    server.unary(DOUBLE, double)
    with pytest.raises(Unauthorised, match="client certificate"):
        await world.client(server, peer=None).call(DOUBLE, Number(1))


async def test_a_caller_without_certificate_reaches_a_method_that_allows_it(world):
    server = world.server()
    server.unary(DOUBLE, double, anonymous=True)
    assert await world.client(server, peer=None).call(DOUBLE, Number(1)) == Number(2)


async def test_a_request_of_the_wrong_shape_is_a_bad_request_that_names_the_field(world):
    server = world.server()
    server.unary(DOUBLE, double)
    wrong = Unary("test.v1/Double", dict, Number)
    with pytest.raises(BadRequest, match=r"\$.value"):
        await world.client(server).call(wrong, {"value": "many"})


async def test_a_request_over_the_limit_is_a_bad_request(world):
    server = world.server(ServerLimits(message=64))
    server.unary(Unary("test.v1/Double", dict, Number), double)
    wide = Unary("test.v1/Double", dict, Number)
    with pytest.raises(BadRequest, match="over the limit of 64"):
        await world.client(server).call(wide, {"value": "x" * 100})


async def test_the_callers_deadline_ends_the_call_on_both_sides(world):
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def never(request, context):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    server = world.server()
    server.unary(DOUBLE, never)
    call = asyncio.create_task(world.client(server).call(DOUBLE, Number(1), timeout=1000))
    await running.wait()
    set_forward(1000)
    with pytest.raises(TimedOut):
        await call
    await asyncio.wait_for(cancelled.wait(), PATIENCE)


async def test_the_server_bounds_a_call_whose_caller_asks_for_more(world):
    async def never(request, context):
        await asyncio.sleep(60)

    server = world.server(ServerLimits(unary_timeout=0.05))
    server.unary(DOUBLE, never)
    with pytest.raises(TimedOut, match="test.v1/Double did not finish"):
        await world.client(server).call(DOUBLE, Number(1), timeout=30)
    assert world.calls == [("test.v1/Double", Status.TIMEOUT)]


async def test_a_timeout_inside_the_handler_is_a_fault_and_no_deadline(world, caplog):
    async def inner(request, context):
        raise TimeoutError("database")

    server = world.server()
    server.unary(DOUBLE, inner)
    with pytest.raises(Unavailable):
        await world.client(server).call(DOUBLE, Number(1))


async def test_cancelling_the_caller_cancels_the_handler(world):
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request, context):
        running.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    server = world.server()
    server.unary(DOUBLE, wait)
    client = world.client(server)
    call = asyncio.create_task(client.call(DOUBLE, Number(1), timeout=60))
    await running.wait()
    call.cancel()
    await asyncio.wait_for(cancelled.wait(), PATIENCE)
    assert world.network.streams[0][0].reset_sent == CANCELLED


async def test_calls_beyond_the_limit_are_unavailable(world):
    running = asyncio.Event()

    async def wait(request, context):
        running.set()
        await asyncio.sleep(60)

    server = world.server(ServerLimits(calls=1))
    server.unary(DOUBLE, wait)
    client = world.client(server)
    first = asyncio.create_task(client.call(DOUBLE, Number(1), timeout=60))
    await running.wait()
    with pytest.raises(Unavailable, match="1 calls are running"):
        await client.call(DOUBLE, Number(2))
    first.cancel()


async def test_callers_without_certificate_cannot_use_up_all_calls(world):
    running = asyncio.Event()

    async def wait(request, context):
        running.set()
        await asyncio.sleep(60)

    server = world.server(ServerLimits(anonymous_calls=1))
    server.unary(DOUBLE, wait, anonymous=True)
    anonymous = world.client(server, peer=None)
    first = asyncio.create_task(anonymous.call(DOUBLE, Number(1), timeout=60))
    await running.wait()
    with pytest.raises(Unavailable, match="without a certificate"):
        await anonymous.call(DOUBLE, Number(2))
    first.cancel()


def test_a_method_is_registered_once():
    server = ApiServer()
    server.unary(DOUBLE, double)
    with pytest.raises(ValueError, match="registered already"):
        server.unary(DOUBLE, double)


async def test_an_unreachable_server_is_unavailable(world):
    client = world.client(world.server())
    world.network.down = True
    with pytest.raises(Unavailable, match="nobody listens") as failed:
        await client.call(DOUBLE, Number(1))
    assert failed.value.untouched
