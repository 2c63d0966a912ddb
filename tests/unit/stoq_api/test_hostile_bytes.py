"""What a caller or a server that breaks the format meets."""

import asyncio

import msgspec
import pytest

from stoq.api.call import ServerLimits
from stoq.api.client import ApiClient
from stoq.api.errors import BadRequest, Unavailable
from stoq.api.framing import MAX_BODY, Kind, encode
from stoq.api.method import Unary
from stoq.api.stream import CANCELLED
from support.streams import Network, pair
from unit.stoq_api.conftest import DOUBLE, WEB, Number


def frame(kind, **fields):
    return encode(kind, msgspec.msgpack.encode(fields))


HEADER = frame(Kind.HEADER, method="test.v1/Double")
REQUEST = frame(Kind.MESSAGE, value=1)


async def answer_to(world, data, *, end=False, limits=None):
    """The status that a server answers to raw bytes."""

    async def double(request, context):
        await asyncio.sleep(0.05)
        return Number(request.value * 2)

    server = world.server(limits)
    server.unary(DOUBLE, double)
    caller, served = pair(peer=WEB)
    serving = asyncio.create_task(server.handle(served))
    await caller.send(data, end=end)
    received = b""
    while chunk := await caller.recv():
        received += chunk
    await serving
    caller._sock.close()
    served._sock.close()
    assert received[0] == Kind.STATUS
    return msgspec.msgpack.decode(received[4 : 4 + int.from_bytes(received[1:4], "big")])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x09\0\0\0", "no kind of frame"),
        (REQUEST, "a message came where the header"),
        (HEADER + HEADER, "a header came where the message"),
        (encode(Kind.HEADER, b"\xff"), "CallHeader"),
        (frame(Kind.HEADER, method="test.v1/Double", version=9) + REQUEST, "version 9"),
        (frame(Kind.HEADER, method="test.v1/Double", codec="xml") + REQUEST, "'xml'"),
        (HEADER + REQUEST + REQUEST, "a second message"),
        (HEADER + encode(Kind.MESSAGE, b"\xc1"), "Number"),
        (b"\x00\xff\xff\xff", "16777215 bytes is over the limit"),
    ],
)
async def test_bytes_that_break_the_format_are_a_bad_request(world, data, text):
    status = await answer_to(world, data)
    assert status["status"] == "bad_request"
    assert text in status["message"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "finished before its header"),
        (HEADER, "finished before its message"),
        (HEADER[:-1], "ends inside a frame"),
    ],
)
async def test_a_caller_that_finishes_early_is_told_so(world, data, text):
    status = await answer_to(world, data, end=True)
    assert status["status"] == "bad_request"
    assert text in status["message"]


async def test_a_caller_may_finish_its_side_and_wait(world):
    assert (await answer_to(world, HEADER + REQUEST, end=True))["status"] == "ok"


async def test_a_silent_caller_is_timed_out(world):
    status = await answer_to(world, HEADER[:3], limits=ServerLimits(request_timeout=0.05))
    assert status["status"] == "timeout"


async def test_a_caller_that_never_reads_its_refusal_is_reset(world):
    server = world.server(ServerLimits(request_timeout=0.05))
    caller, served = pair(peer=WEB)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await served.send(bytes(1 << 24))
    await caller.send(b"\x09\0\0\0")
    await server.handle(served)
    assert served.reset_sent == CANCELLED
    caller._sock.close()
    served._sock.close()


async def answered_with(data, *, end=True):
    """What a client raises at raw bytes from a server."""
    network = Network(WEB)
    client = ApiClient(network)
    call = asyncio.create_task(client.call(DOUBLE, Number(1), timeout=60))
    served = await network.accept()
    await served.send(data, end=end)
    try:
        await call
    finally:
        network.close()


OK = frame(Kind.STATUS, status="ok")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "ended without a status"),
        (OK, "gave 0 answers"),
        (REQUEST, "a message out of place"),
        (HEADER, "a header out of place"),
        (OK + REQUEST[:-1], "malformed: the stream ends inside a frame"),
        (OK + encode(Kind.MESSAGE, b"\xc1"), "malformed"),
        (encode(Kind.STATUS, b"\xc1"), "malformed"),
        (b"\x07\0\0\0", "malformed"),
        (frame(Kind.STATUS, status="teapot"), "'teapot'"),
    ],
)
async def test_an_answer_that_breaks_the_format_is_unavailable(data, text):
    with pytest.raises(Unavailable, match=text):
        await answered_with(data)


async def test_a_request_too_long_for_a_frame_is_the_callers_own_bad_request(world):
    client = world.client(world.server())
    huge = Unary("test.v1/Double", bytes, Number)
    with pytest.raises(BadRequest, match="does not fit"):
        await client.call(huge, bytes(MAX_BODY + 1))
