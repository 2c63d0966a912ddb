"""API calls between stoq.api over an engine and the reference."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from stoq.api.client import ApiClient
from stoq.api.errors import NotFound, TimedOut
from stoq.api.method import ServerStream, Unary
from stoq.api.server import ApiServer
from stoq.engine import CertificateAuthority, Engine
from stoq_reference.api import CallFailed, Frames, answer, call
from stoq_reference.calls import Frame, FrameKind
from stoq_reference.client import connect
from stoq_reference.head import Kind
from stoq_reference.peer import Peer
from stoq_reference.server import Server, serve
from support import engines, reference
from support.interop import LOOPBACK, EngineServer, address


class Number(msgspec.Struct):
    n: int


DOUBLE = Unary("test.v1/Double", Number, Number)
COUNT = ServerStream("test.v1/Count", Number, Number)
SLEEP = Unary("test.v1/Sleep", Number, Number)


@pytest.fixture
async def peer(engine: EngineServer, ca: CertificateAuthority) -> AsyncIterator[Peer]:
    """A connection of the reference to an engine that serves methods."""
    api = ApiServer()

    async def double(request: Number, _: object) -> Number:
        return Number(request.n * 2)

    async def count(request: Number, _: object) -> AsyncIterator[Number]:
        for n in range(request.n):
            yield Number(n)
        if request.n == 3:
            raise NotFound("nothing after 2")

    async def sleep(request: Number, _: object) -> Number:
        await asyncio.sleep(request.n)
        return request

    api.unary(DOUBLE, double)
    api.server_stream(COUNT, count)
    api.unary(SLEEP, sleep)
    serving = asyncio.create_task(api.serve(engine.engine.acceptor()))
    async with connect(LOOPBACK, engine.api, reference.endpoint(ca, engines.CLIENT)) as found:
        yield found
    serving.cancel()


@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_the_reference_calls_a_method(peer: Peer, codec: str) -> None:
    answers = await call(peer.open(Kind.API), DOUBLE.name, {"n": 21}, codec=codec)
    assert answers == [{"n": 42}]


async def test_the_reference_reads_a_stream_of_responses(peer: Peer) -> None:
    answers = await call(peer.open(Kind.API), COUNT.name, {"n": 50})
    assert answers == [{"n": n} for n in range(50)]


@pytest.mark.parametrize(
    ("method", "request_", "header", "status"),
    [
        ("test.v1/Nothing", {"n": 1}, {}, "not_found"),
        (DOUBLE.name, {"n": "one"}, {}, "bad_request"),
        (DOUBLE.name, {"n": 1}, {"codec": "yaml"}, "bad_request"),
        (DOUBLE.name, {"n": 1}, {"version": 2}, "bad_request"),
        (COUNT.name, {"n": 3}, {}, "not_found"),
        (SLEEP.name, {"n": 30}, {"deadline_ms": 50}, "timeout"),
    ],
)
async def test_the_reference_is_told_how_a_call_failed(
    peer: Peer, method: str, request_: dict, header: dict, status: str
) -> None:
    with pytest.raises(CallFailed) as failed:
        await call(peer.open(Kind.API), method, request_, **header)
    assert failed.value.status == status


def double(request: dict) -> Iterator[dict]:
    yield {"n": request["n"] * 2}


def count(request: dict) -> Iterator[dict]:
    for n in range(request["n"]):
        yield {"n": n}
    if request["n"] == 3:
        raise CallFailed("timeout", "nothing after 2")


async def answering(server: Server) -> None:
    """Answers the calls of the server's first client."""
    peer = await server.accepted.get()
    methods = {DOUBLE.name: double, COUNT.name: count}
    async with asyncio.TaskGroup() as calls:
        while True:
            stream = await peer.accepted.get()
            calls.create_task(answer(stream, methods, anonymous=peer.certificate is None))


@pytest.fixture
async def serving(ca: CertificateAuthority) -> AsyncIterator[Server]:
    """A reference that serves methods."""
    async with serve(LOOPBACK, 0, reference.endpoint(ca, engines.SERVER)) as server:
        answers = asyncio.create_task(answering(server))
        yield server
        answers.cancel()


@pytest.fixture
def api(client: Engine, serving: Server) -> ApiClient:
    """An engine's client of those methods."""
    return ApiClient(client.dialler(address(serving), engines.SERVER))


async def test_an_engine_calls_a_method_of_the_reference(api: ApiClient) -> None:
    assert await api.call(DOUBLE, Number(21)) == Number(42)


async def test_an_engine_reads_a_stream_of_the_reference(api: ApiClient) -> None:
    async with api.stream(COUNT, Number(50)) as numbers:
        assert [number.n async for number in numbers] == list(range(50))


async def test_an_engine_is_told_how_a_call_failed(api: ApiClient) -> None:
    with pytest.raises(NotFound):
        await api.call(SLEEP, Number(1))
    with pytest.raises(TimedOut, match="nothing after 2"):
        async with api.stream(COUNT, Number(3)) as numbers:
            _ = [number async for number in numbers]


def frame(kind: FrameKind, value: object) -> bytes:
    return Frame(kind, msgspec.msgpack.encode(value)).encode()


HEADER = frame(FrameKind.HEADER, {"method": DOUBLE.name})


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (frame(FrameKind.MESSAGE, {"n": 1}), "bad_request"),
        (frame(FrameKind.HEADER, "no map"), "bad_request"),
        (frame(FrameKind.HEADER, {"method": "test.v1/Nothing"}), "not_found"),
        (frame(FrameKind.HEADER, {"method": DOUBLE.name, "version": 2}), "bad_request"),
        (frame(FrameKind.HEADER, {"method": DOUBLE.name, "codec": "yaml"}), "bad_request"),
        (HEADER + HEADER, "bad_request"),
        (HEADER + b"\3\0\0\0", "bad_request"),
        (HEADER + b"\0\0\0\1\xc1", "bad_request"),
        (HEADER, "bad_request"),
        (HEADER[:-1], "bad_request"),
        (HEADER + frame(FrameKind.MESSAGE, {"n": 1}), "ok"),
    ],
)
async def test_both_servers_answer_odd_calls_alike(
    peer: Peer, serving: Server, ca: CertificateAuthority, sent: bytes, status: str
) -> None:
    async with connect(LOOPBACK, serving.port, reference.endpoint(ca, engines.CLIENT)) as other:
        for dialled in (peer, other):
            stream = dialled.open(Kind.API)
            stream.send(sent, end=True)
            answered = await Frames(stream).next_map(FrameKind.STATUS)
            assert answered["status"] == status
