"""What happens around a handshake: resumption, Retry, key updates."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Limits, Listener
from stoq_reference.client import connect
from stoq_reference.errors import Reason
from stoq_reference.head import Kind
from stoq_reference.peer import Peer
from support import engines, reference
from support.interop import LOOPBACK, PATIENCE, EngineServer, address, echoing, refusal, until


async def test_the_reference_resumes_a_session_with_an_engine(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    dialling = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
    for resumed in (False, True, True):
        async with connect(LOOPBACK, engine.mesh, dialling) as peer:
            assert peer.resumed is resumed
            assert peer.certificate.spiffe_id == engines.SERVER
            await until(lambda: dialling.tickets)
    counters = engine.engine.snapshot().counters
    assert counters.handshakes_resumed == 2


async def test_an_engine_resumes_a_session_with_the_reference(
    client: Engine, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for resumed in (0, 1):
            near = await client.dialler(address(server), engines.SERVER).open()
            await near.send(b"!")
            assert await near.recv() == b"!"
            assert client.snapshot().counters.handshakes_resumed == resumed
            for peer in server.peers:
                assert peer.certificate.spiffe_id == engines.CLIENT
                peer.end()
                await peer.closed
            await until(lambda: not client.connections())


async def test_the_reference_looks_at_the_certificate_of_a_resumed_session_again(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    dialling = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
    async with connect(LOOPBACK, engine.mesh, dialling):
        await until(lambda: dialling.tickets)
    revoked = replace(dialling.policy, revoked_identities={engines.SERVER: 1 << 40})
    wary = replace(dialling, policy=revoked)
    assert (await refusal(engine.mesh, wary)).alert == Reason.REVOKED.alert
    assert not wary.tickets


async def test_a_ticket_is_taken_once(engine: EngineServer, ca: CertificateAuthority) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for port in (engine.mesh, server.port):
            first = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
            async with connect(LOOPBACK, port, first):
                await until(partial(len, first.tickets))
            for resumed in (True, False):
                again = replace(first, tickets=dict(first.tickets))
                async with connect(LOOPBACK, port, again) as peer:
                    assert peer.resumed is resumed


async def test_the_bootstrap_listener_gives_no_ticket(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    dialling = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
    acceptor = engine.engine.acceptor()
    async with connect(LOOPBACK, engine.api, dialling) as peer:
        near = peer.open(Kind.API)
        near.send(b"!")
        far = await acceptor.accept()
        await far.send(b"", end=True)
        assert await near.read() == b""
        assert not dialling.tickets


async def test_an_engine_proves_its_address_to_the_reference(
    client: Engine, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER), retry=True) as server:
        near = await client.dialler(address(server), engines.SERVER).open()
        await near.send(b"!")
        assert await near.recv() == b"!"
        assert server.retries > 0


async def test_the_reference_proves_its_address_to_an_engine(ca: CertificateAuthority) -> None:
    settings = EngineSettings(
        workers=1,
        bootstrap=Listener(listen="[::1]:0"),
        limits=Limits(handshakes_before_retry=0),
        log_level="error",
    )
    async with Engine(settings, engines.identity(ca, engines.SERVER)) as server:
        dialling = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
        async with connect(LOOPBACK, EngineServer(server).api, dialling) as peer:
            assert peer.quic.retried
        assert server.snapshot().counters.retries_sent > 0


@pytest.mark.parametrize("updates", [1, 3])
async def test_the_engine_follows_key_updates_of_a_reference_client(
    engine: EngineServer, ca: CertificateAuthority, updates: int
) -> None:
    acceptor = engine.engine.acceptor()
    async with connect(LOOPBACK, engine.api, reference.endpoint(ca, engines.CLIENT)) as peer:
        near = peer.open(Kind.API)
        near.send(b"!")
        far = await acceptor.accept()
        await far.recv()
        for _ in range(updates):
            await update_keys(peer)
            near.send(b"ping")
            assert await far.recv() == b"ping"
            await far.send(b"pong")
            assert await near.recv() == b"pong"


async def test_the_engine_follows_key_updates_of_a_reference_server(
    client: Engine, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        near = await client.dialler(address(server), engines.SERVER).open()
        for _ in range(3):
            await near.send(b"ping")
            assert await near.recv() == b"ping"
            (peer,) = server.peers
            await update_keys(peer)


async def update_keys(peer: Peer) -> None:
    """Sends with new keys from now on; the ping is acknowledged under them."""
    phase = peer.quic.key_phase
    peer.request_key_update()
    await asyncio.wait_for(peer.ping(), PATIENCE)
    assert peer.quic.key_phase != phase
