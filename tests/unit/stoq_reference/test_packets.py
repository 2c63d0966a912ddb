"""The reserve and tokens in packets, between engine and reference."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener
from stoq_reference import frames
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode
from stoq_reference.endpoint import Endpoint
from stoq_reference.frames import Token
from stoq_reference.head import Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from support import engines, reference
from support.interop import LOOPBACK, PATIENCE, EngineServer, address, closing, echoing, until

TOKENS = Parameters(extensions=Extension.PACKET_TOKENS, packet_reserve=64)
RESERVE = Parameters(packet_reserve=64)
NOTHING = Parameters()
TOKEN_LENGTH = 50
"""What an engine with tokens asks for."""

DATA = bytes(range(256)) * 400


def offering(ca: CertificateAuthority, spiffe_id: str, offer: Parameters) -> Endpoint:
    return replace(reference.endpoint(ca, spiffe_id), parameters=offer)


def server_settings() -> EngineSettings:
    listener = Listener(listen="[::1]:0")
    return EngineSettings(workers=1, stoq=listener, bootstrap=listener, log_level="error")


async def update_keys(peer: Peer) -> None:
    peer.request_key_update()
    await asyncio.wait_for(peer.ping(), PATIENCE)


@pytest.mark.parametrize(
    ("offer", "reserve", "tokens"),
    [(TOKENS, TOKEN_LENGTH, True), (RESERVE, TOKEN_LENGTH, False), (NOTHING, 0, False)],
)
async def test_a_reference_client_and_an_engine_use_what_both_offer(
    ca: CertificateAuthority, offer: Parameters, reserve: int, *, tokens: bool
) -> None:
    tls = engines.identity(ca, engines.SERVER, tokens="packet")
    async with Engine(server_settings(), tls) as engine:
        acceptor = engine.acceptor()
        dialling = offering(ca, engines.CLIENT, offer)
        async with connect(LOOPBACK, EngineServer(engine).api, dialling) as peer:
            near = peer.open(Kind.API)
            near.send(b"!")
            far = await acceptor.accept()
            assert await far.recv() == b"!"
            for _ in range(2):
                await far.send(DATA)
                received = b""
                while len(received) < len(DATA):
                    received += await near.recv()
                assert received == DATA
                await update_keys(peer)
            (connection,) = engine.connections()
            assert (connection.packet_reserve, connection.packet_tokens) == (reserve, tokens)


@pytest.mark.parametrize("offer", [TOKENS, RESERVE, NOTHING])
async def test_an_engine_and_a_reference_server_use_what_both_offer(
    ca: CertificateAuthority, offer: Parameters
) -> None:
    tls = engines.identity(ca, engines.CLIENT, tokens="packet")
    async with (
        echoing(offering(ca, engines.SERVER, offer)) as server,
        Engine(engines.client_settings(), tls) as client,
    ):
        near = await client.dialler(address(server), engines.SERVER).open()
        (peer,) = server.peers
        for _ in range(2):
            await near.send(DATA)
            received = b""
            while len(received) < len(DATA):
                received += await near.recv()
            assert received == DATA
            await update_keys(peer)
        assert client.snapshot().counters.packets_refused == 0


def forged(_: int, payload: bytes, finished: bytes) -> bytes:
    return bytes([payload[0] ^ 1]) + finished[1:]


def another(number: int, __: bytes, finished: bytes) -> bytes:
    token, _ = frames.decode(finished[-TOKEN_LENGTH:])
    assert isinstance(token, Token)
    wrong = frames.encode(replace(token, sequence=number + 1))
    return finished[:-TOKEN_LENGTH] + wrong.ljust(TOKEN_LENGTH, b"\0")


def missing(_: int, payload: bytes, __: bytes) -> bytes:
    return payload.ljust(len(payload) + TOKEN_LENGTH, b"\0")


def unpadded(_: int, payload: bytes, __: bytes) -> bytes:
    return payload + b"\0" * (TOKEN_LENGTH - 1) + b"\1"


def unknown(_: int, payload: bytes, __: bytes) -> bytes:
    return payload + bytes.fromhex("c0000000fe000009").ljust(TOKEN_LENGTH, b"\0")


WRONG: dict[Callable[[int, bytes, bytes], bytes], ConnectionCode] = {
    forged: ConnectionCode.BAD_TOKEN,
    another: ConnectionCode.BAD_TOKEN,
    missing: ConnectionCode.BAD_TOKEN,
    unpadded: ConnectionCode.PROTOCOL,
    unknown: ConnectionCode.PROTOCOL,
}


def spoil(peer: Peer, wrong: Callable[[int, bytes, bytes], bytes]) -> None:
    """Has `wrong` at the end of every packet from now on."""
    packets = peer.quic.packets
    assert packets is not None
    packets.finish = lambda number, payload: wrong(
        number, payload, packets.finished(number, payload)
    )


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_end_of_a_packet_closes_its_connection_and_no_other(
    ca: CertificateAuthority, wrong: Callable[[int, bytes, bytes], bytes]
) -> None:
    tls = engines.identity(ca, engines.SERVER, tokens="packet")
    dialling = offering(ca, engines.CLIENT, TOKENS)
    async with Engine(server_settings(), tls) as engine:
        port = EngineServer(engine).api
        acceptor = engine.acceptor()
        async with connect(LOOPBACK, port, dialling) as good:
            near = good.open(Kind.API)
            near.send(b"!")
            far = await acceptor.accept()
            assert await far.recv() == b"!"
            async with connect(LOOPBACK, port, dialling) as bad:
                await until(lambda: len(engine.connections()) == 2)
                spoil(bad, wrong)
                bad.open(Kind.API).send(b"?")
                closed = await closing(bad)
            assert closed.application
            assert closed.code == WRONG[wrong]
            near.send(b"?")
            assert await far.recv() == b"?"
        snapshot = engine.snapshot()
        assert snapshot.counters.packets_refused == 1
        assert snapshot.connections_closed[WRONG[wrong].name.lower()] == 1


async def test_the_reference_closes_for_a_forged_token_too(ca: CertificateAuthority) -> None:
    serving = offering(ca, engines.SERVER, TOKENS)
    async with echoing(serving) as server:
        dialling = offering(ca, engines.CLIENT, TOKENS)
        async with connect(LOOPBACK, server.port, dialling) as peer:
            await asyncio.wait_for(peer.ping(), PATIENCE)
            spoil(peer, lambda number, payload, end: forged(number, payload, end))
            peer.open(Kind.API).send(b"?")
            closed = await closing(peer)
    assert closed.code == ConnectionCode.BAD_TOKEN


async def test_a_datagram_that_nothing_was_agreed_on_for_closes_with_protocol(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    async with connect(LOOPBACK, engine.api, reference.endpoint(ca, engines.CLIENT)) as peer:
        peer.quic.send_datagram_frame(b"\0hello")
        peer.transmit()
        closed = await closing(peer)
    assert closed.application
    assert closed.code == ConnectionCode.PROTOCOL
