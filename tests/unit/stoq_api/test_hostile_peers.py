"""Peers that break the format or their promises, over a real connection: they get the specified
error, and calls of others go on.
"""

import asyncio

import msgspec
import pytest

from stoq.api.call import ServerLimits
from stoq.api.client import ApiClient
from stoq.api.errors import Unavailable
from stoq.api.framing import MAX_CONTROL_BODY, Kind, encode
from stoq.api.server import ApiServer
from stoq.api.stream import CANCELLED
from support import engines
from support.patience import PATIENCE
from unit.stoq_api.conftest import DOUBLE, ECHO, SUM, Number


def frame(kind, **fields):
    return encode(kind, msgspec.msgpack.encode(fields))


LIMIT = 1000
DOUBLE_HEADER = frame(Kind.HEADER, method=DOUBLE.name)
SUM_HEADER = frame(Kind.HEADER, method=SUM.name)
ONE = frame(Kind.MESSAGE, value=1)


class Served:
    """A server of three methods, and a client of it."""

    def __init__(self, server_engine, client_engine):
        self.dialler = client_engine.dialler(engines.address(server_engine), engines.SERVER)
        self.client_engine = client_engine
        self.client = ApiClient(self.dialler)
        self.server = ApiServer(ServerLimits(message=LIMIT, request_timeout=3))
        self.server.unary(DOUBLE, self.double)
        self.server.client_stream(SUM, self.total)
        self.server.bidirectional(ECHO, self.echo)
        self.taken = 0
        self.echoing = asyncio.Event()
        self.ended = asyncio.Event()

    async def double(self, request, context):
        return Number(request.value * 2)

    async def total(self, requests, context):
        async for _ in requests:
            self.taken += 1
            await asyncio.sleep(0.01)
        return Number(self.taken)

    async def echo(self, requests, context):
        try:
            async for request in requests:
                yield request
            self.echoing.set()
            await asyncio.sleep(60)
        finally:
            self.ended.set()


@pytest.fixture
async def served(request):
    """Its client dials for as long as the test's parameter says (milliseconds)."""
    ca = engines.authority()
    async with (
        engines.Engine(engines.server_settings(), engines.identity(ca, engines.SERVER)) as server,
        engines.Engine(
            engines.client_settings(dial_timeout_ms=getattr(request, "param", 30_000)),
            engines.identity(ca, engines.CLIENT),
        ) as client,
    ):
        found = Served(server, client)
        serving = asyncio.create_task(found.server.serve(server.acceptor()))
        yield found
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def status_of(stream):
    received = b""
    while chunk := await stream.recv():
        received += chunk
    assert received[0] == Kind.STATUS
    return msgspec.msgpack.decode(received[4 : 4 + int.from_bytes(received[1:4], "big")])


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (b"\x03\0\0\0", "bad_request", "no kind of frame"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad_request", "no kind of frame"),
        (encode(Kind.HEADER, b"\xc1"), "bad_request", "CallHeader"),
        (encode(Kind.HEADER, b"\x91" * 900), "bad_request", "CallHeader"),
        (b"\x01\x00\x20\x01", "bad_request", f"over the limit of {LIMIT}"),
        (
            DOUBLE_HEADER + b"\0\0\x03\xe9",
            "bad_request",
            "1001 bytes is over the limit",
        ),
        (DOUBLE_HEADER + ONE + ONE, "bad_request", "a second message"),
        (SUM_HEADER + ONE + DOUBLE_HEADER, "bad_request", "a header came where requests belong"),
        (SUM_HEADER + ONE + b"\0\xff\xff\xff", "bad_request", f"over the limit of {LIMIT}"),
        (SUM_HEADER + frame(Kind.MESSAGE, value="x"), "bad_request", "$.value"),
        (frame(Kind.HEADER, method="test.v1/Sum", codec="xml"), "bad_request", "'xml'"),
        (frame(Kind.HEADER, method="x" * 900), "not_found", "xxx"),
        (DOUBLE_HEADER, "timeout", "no whole request"),
        (b"\x01", "timeout", "no whole request"),
    ],
)
async def test_bytes_that_break_the_format_get_the_specified_status(served, sent, status, text):
    stream = await served.dialler.open()
    await stream.send(sent)
    answer = await asyncio.wait_for(status_of(stream), PATIENCE)
    assert (answer["status"], text in answer["message"]) == (status, True), answer
    stream.close()
    assert await served.client.call(DOUBLE, Number(4)) == Number(8)


def test_the_limit_of_control_frames_is_above_that_of_these_tests():
    assert MAX_CONTROL_BODY > LIMIT


async def test_an_endless_stream_of_requests_is_held_back_and_others_are_served(served):
    sent = 0

    async def flood(stream):
        nonlocal sent
        await stream.send(SUM_HEADER)
        while True:
            await stream.send(ONE * 1000)
            sent += 1000

    stream = await served.dialler.open()
    flooding = asyncio.create_task(flood(stream))
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.3)
    assert await served.client.call(DOUBLE, Number(4)) == Number(8)
    assert sent * len(ONE) < 4_000_000
    assert served.taken < sent
    flooding.cancel()
    stream.reset(CANCELLED)
    stream.close()


async def test_leaving_after_the_last_request_reaches_a_handler_that_is_busy(served):
    async with served.client.converse(ECHO) as conversation:
        await conversation.send(Number(1))
        assert await anext(conversation) == Number(1)
        await conversation.finish()
        await asyncio.wait_for(served.echoing.wait(), PATIENCE)
    await asyncio.wait_for(served.ended.wait(), PATIENCE)


async def test_a_caller_that_does_not_read_holds_only_its_own_call_up(served):
    async with served.client.converse(ECHO) as conversation:

        async def flood():
            while True:
                await conversation.send(Number(2**60))

        flooding = asyncio.create_task(flood())
        await asyncio.sleep(0.5)
        assert await served.client.call(DOUBLE, Number(4)) == Number(8)
        flooding.cancel()
    await asyncio.wait_for(served.ended.wait(), PATIENCE)


@pytest.mark.parametrize("served", [1000], indirect=True)
async def test_a_server_that_nobody_answers_for_is_unavailable_and_untouched(served):
    nowhere = served.client_engine.dialler("[::1]:9", engines.SERVER)
    with pytest.raises(Unavailable, match="test.v1/Double failed") as failed:
        await ApiClient(nowhere).call(DOUBLE, Number(1), timeout=PATIENCE)
    assert failed.value.untouched
