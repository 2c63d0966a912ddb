"""Tokens on the streams that an engine relays, made and checked by the reference."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener
from stoq_reference import tokens
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.head import NOWHERE, Address, Head, Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.stream import Stream, StreamFailed
from stoq_reference.tokens import EXPORTER_LABEL, EXPORTER_LENGTH, Keys, StreamReader
from support import engines, reference
from support.interop import LOOPBACK, OWN_ADDRESS, TABLE, EngineServer, closing

MESSAGES = [b"first", bytes(range(256)) * 500, b"last"]
DATA = b"".join(MESSAGES)


def own_address() -> str:
    """An address of this machine; loopback is none of a workload. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


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
async def dialled(ca: CertificateAuthority, *, tokens: str) -> AsyncIterator[tuple[Engine, Peer]]:
    """The reference with an engine whose workload has the address of this machine."""
    settings = EngineSettings(workers=1, stoq=Listener(listen="[::1]:0"), log_level="error")
    tls = engines.identity(ca, engines.SERVER, tokens=tokens)
    offer = Parameters(extensions=Extension.STREAM_TOKENS)
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=offer)
    async with Engine(settings, tls) as engine:
        engine.set_table(TABLE.replace(OWN_ADDRESS, own_address()))
        async with connect(LOOPBACK, EngineServer(engine).mesh, dialling) as peer:
            yield engine, peer


def opened(peer: Peer, destination: Address) -> tuple[Stream, Keys]:
    """A stream whose head says that tokens follow, and the connection's keys."""
    head = Head(Kind.TCP, bytes(16), NOWHERE, destination, tokens=True)
    keys = Keys.of(peer.exporter(EXPORTER_LABEL, length=EXPORTER_LENGTH))
    return peer.open_raw(head.encode(), head), keys


@pytest.mark.parametrize("interval", [None, 1000])
async def test_what_an_engine_relays_has_tokens_both_ways(
    ca: CertificateAuthority, interval: int | None
) -> None:
    async with application() as (address, heard), dialled(ca, tokens="stream") as (engine, peer):
        stream, keys = opened(peer, address)
        stream.send(tokens.write(keys.client, stream.id, MESSAGES, interval), end=True)
        reader, verified = StreamReader(keys.server, stream.id), b""
        while piece := await stream.recv():
            verified += reader.push(piece)
        reader.finish()
        assert verified == b"".join(heard) == DATA
        (connection,) = engine.connections()
        assert connection.stream_tokens


async def test_a_forged_token_closes_and_hands_nothing_on(ca: CertificateAuthority) -> None:
    async with application() as (address, heard), dialled(ca, tokens="stream") as (engine, peer):
        stream, keys = opened(peer, address)
        right = tokens.write(keys.client, stream.id, [b"right", b"wrong"])
        stream.send(right[:-1] + b"!")
        closed = await closing(peer)
        assert closed.application
        assert closed.code == ConnectionCode.BAD_TOKEN
        assert engine.snapshot().counters.stream_tokens_refused == 1
        assert b"".join(heard) in (b"", b"right")


async def test_an_engine_that_did_not_offer_tokens_does_not_know_their_flag(
    ca: CertificateAuthority,
) -> None:
    async with application() as (address, _), dialled(ca, tokens="off") as (_, peer):
        stream, _ = opened(peer, address)
        with pytest.raises(StreamFailed) as failed:
            await stream.recv()
        assert failed.value.code == StreamCode.BAD_HEAD
