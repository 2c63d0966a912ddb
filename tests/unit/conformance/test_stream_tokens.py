"""TCP flows whose streams have tokens: what an engine relays for its application, and what the
reference sends and checks itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener
from stoq_reference import tokens
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.head import NOWHERE, Address, Head, Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import Server, serve
from stoq_reference.stream import Stream, StreamFailed
from support import engines, flows, interop, reference
from support.ends import Pair
from support.interop import LOOPBACK, OWN_ADDRESS, TABLE, EngineServer, own_address
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

MESSAGES = [b"first", bytes(range(256)) * 100, b"last"]
DATA = b"".join(MESSAGES)
OFFER = Parameters(extensions=Extension.STREAM_TOKENS)


@dataclass
class Flow:
    """A TCP flow to `destination`, over a connection of the reference."""

    peer: Peer
    destination: Address
    heard: list[bytes]
    """What the application at the end was given."""

    def open(self) -> Stream:
        """A stream whose head says that tokens follow."""
        head = Head(Kind.TCP, bytes(16), NOWHERE, self.destination, tokens=True)
        return self.peer.open_raw(head.encode(), head)


@asynccontextmanager
async def application() -> AsyncIterator[tuple[Address, list[bytes]]]:
    """Sends back what comes, and remembers it."""
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            heard.append(data)
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, own_address(), 0)
    async with server:
        yield Address.of(own_address(), server.sockets[0].getsockname()[1]), heard


@asynccontextmanager
async def engine_serving(ca: CertificateAuthority, *, tokens: str = "stream") -> AsyncIterator:
    """An engine whose workload has the address of this machine."""
    settings = EngineSettings(workers=1, stoq=Listener(listen="[::1]:0"), log_level="error")
    async with Engine(settings, engines.identity(ca, engines.SERVER, tokens=tokens)) as engine:
        engine.set_table(TABLE.replace(OWN_ADDRESS, own_address()))
        yield engine


@asynccontextmanager
async def to_engine(
    ca: CertificateAuthority, *, tokens: str = "stream"
) -> AsyncIterator[tuple[Engine, Flow]]:
    """A reference that dials an engine with an application."""
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=OFFER)
    async with (
        application() as (destination, heard),
        engine_serving(ca, tokens=tokens) as engine,
        connect(LOOPBACK, EngineServer(engine).mesh, dialling) as peer,
    ):
        yield engine, Flow(peer, destination, heard)


@asynccontextmanager
async def reference_serving(
    ca: CertificateAuthority, heard: list[bytes], interval: int | None = None
) -> AsyncIterator[Server]:
    """A reference whose application sends back what comes, with tokens of its own."""
    host = own_address()
    own = frozenset((Address.of(host, 0).host,))
    endpoint = replace(reference.endpoint(ca, engines.SERVER), parameters=OFFER, addresses=own)

    async def answer(server: Server) -> None:
        peer = await server.accepted.get()
        stream = await peer.accepted.get()
        assert stream.head.tokens
        behind = peer.with_tokens(stream, interval)
        while data := await behind.recv():
            heard.append(data)
            behind.send(data)
        behind.send(b"", end=True)

    async with serve(host, 0, endpoint) as server:
        answering = asyncio.create_task(answer(server))
        yield server
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


@asynccontextmanager
async def to_reference(ca: CertificateAuthority) -> AsyncIterator[Flow]:
    """A reference that dials another one."""
    heard: list[bytes] = []
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=OFFER)
    async with (
        reference_serving(ca, heard) as server,
        connect(own_address(), server.port, dialling) as peer,
    ):
        yield Flow(peer, Address.of(own_address(), 7000), heard)


async def said_by_the_reference(flow: Flow, interval: int | None) -> bytes:
    """What comes back of the messages over a stream with tokens."""
    stream = flow.peer.with_tokens(flow.open(), interval)
    for message in MESSAGES:
        stream.send(message)
    stream.send(b"", end=True)
    back = b""
    while piece := await stream.recv():
        back += piece
    return back


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("interval", [None, 1000], ids=["messages", "intervals"])
async def test_a_flow_with_tokens_comes_whole_both_ways(
    pair: Pair, ca: CertificateAuthority, interval: int | None
) -> None:
    if pair == TO_REFERENCE:
        heard: list[bytes] = []
        async with reference_serving(ca, heard, interval) as server:
            tls = engines.identity(ca, engines.CLIENT, tokens="stream")
            back, (connection,) = await flows.answered(tls, server.port, DATA)
            assert connection.stream_tokens
    elif pair == TO_ENGINE:
        async with to_engine(ca) as (engine, flow):
            back, heard = await said_by_the_reference(flow, interval), flow.heard
            (connection,) = engine.connections()
            assert connection.stream_tokens
    else:
        async with to_reference(ca) as flow:
            back, heard = await said_by_the_reference(flow, interval), flow.heard
    assert back == b"".join(heard) == DATA


async def forged(flow: Flow) -> None:
    """The second of two tokens is wrong: the connection ends, and the end hears no more."""
    stream = flow.open()
    keys = flow.peer.quic.token_keys()
    right = tokens.write(keys.client, stream.id, [b"right", b"wrong"])
    stream.send(right[:-1] + b"!")
    closed = await interop.closing(flow.peer)
    assert closed.application
    assert closed.code == ConnectionCode.BAD_TOKEN
    assert b"".join(flow.heard) in (b"", b"right")


@pairs(TO_ENGINE, REFERENCES)
async def test_a_forged_token_closes_and_hands_nothing_on(
    pair: Pair, ca: CertificateAuthority
) -> None:
    if pair == TO_ENGINE:
        async with to_engine(ca) as (engine, flow):
            await forged(flow)
            assert engine.snapshot().counters.stream_tokens_refused == 1
    else:
        async with to_reference(ca) as flow:
            await forged(flow)


@pairs(TO_ENGINE, REFERENCES)
async def test_who_did_not_offer_tokens_does_not_know_their_flag(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async def refused(flow: Flow) -> None:
        with pytest.raises(StreamFailed) as failed:
            await flow.open().recv()
        assert failed.value.code == StreamCode.BAD_HEAD

    if pair == TO_ENGINE:
        async with to_engine(ca, tokens="off") as (_, flow):
            await refused(flow)
    else:
        serving = reference.endpoint(ca, engines.SERVER)
        dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=OFFER)
        async with (
            interop.echoing(serving) as server,
            connect(LOOPBACK, server.port, dialling) as peer,
        ):
            await refused(Flow(peer, Address.of(OWN_ADDRESS, 7000), []))
