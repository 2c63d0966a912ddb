"""Streams and closes between engine and reference, right and wrong ones."""

from dataclasses import replace

import pytest

from stoq.api.stream import StreamReset
from stoq.engine import CertificateAuthority, Engine
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.endpoint import Endpoint
from stoq_reference.head import NOWHERE, Address, Head, Kind
from stoq_reference.peer import Peer
from stoq_reference.stream import StreamFailed
from support import engines, reference
from support.interop import LOOPBACK, OWN_ADDRESS, EngineServer, address, closing, echoing
from support.patience import until

HEAD = Head(Kind.API, bytes(16))

WRONG_HEADS = {
    "version": b"\2" + HEAD.encode()[1:],
    "kind": b"\1\7" + HEAD.encode()[2:],
    "flags": b"\1\2\2" + HEAD.encode()[3:],
    "family": HEAD.encode()[:21] + b"\5" + HEAD.encode()[22:],
}


async def code_of(peer: Peer, first: bytes) -> int | None:
    """The code that a stream which begins so is reset with."""
    stream = peer.open_raw(first, HEAD)
    with pytest.raises(StreamFailed) as failed:
        await stream.recv()
    return failed.value.code


@pytest.mark.parametrize("wrong", WRONG_HEADS)
async def test_a_head_that_cannot_be_read_ends_its_stream_and_no_other(
    engine: EngineServer, ca: CertificateAuthority, wrong: str
) -> None:
    acceptor = engine.engine.acceptor()
    dialling = reference.endpoint(ca, engines.CLIENT)
    async with (
        connect(LOOPBACK, engine.api, dialling) as to_engine,
        echoing(reference.endpoint(ca, engines.SERVER)) as server,
        connect(LOOPBACK, server.port, dialling) as to_reference,
    ):
        for peer in (to_engine, to_reference):
            assert await code_of(peer, WRONG_HEADS[wrong]) == StreamCode.BAD_HEAD
        to_engine.open(Kind.API).send(b"!")
        assert await (await acceptor.accept()).recv() == b"!"
        other = to_reference.open(Kind.API)
        other.send(b"!")
        assert await other.recv() == b"!"


@pytest.mark.parametrize("listener", ["mesh", "api"])
async def test_reserved_streams_are_denied(
    engine: EngineServer, ca: CertificateAuthority, listener: str
) -> None:
    reserved = replace(HEAD, kind=Kind.FRAMES).encode()
    dialling = reference.endpoint(ca, engines.CLIENT)
    async with connect(LOOPBACK, getattr(engine, listener), dialling) as peer:
        assert await code_of(peer, reserved) == StreamCode.DENIED


async def test_each_port_takes_its_own_kind_of_streams(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    dialling = reference.endpoint(ca, engines.CLIENT)
    flow = replace(HEAD, kind=Kind.TCP).encode()
    async with connect(LOOPBACK, engine.mesh, dialling) as peer:
        assert await code_of(peer, HEAD.encode()) == StreamCode.DENIED
    async with connect(LOOPBACK, engine.api, dialling) as peer:
        assert await code_of(peer, flow) == StreamCode.DENIED


@pytest.mark.parametrize(
    ("host", "port", "code"),
    [
        ("fd00::3", 80, StreamCode.NOT_MINE),
        ("10.0.0.3", 80, StreamCode.NOT_MINE),
        (OWN_ADDRESS, 0, StreamCode.FORBIDDEN_PORT),
        (OWN_ADDRESS, 14008, StreamCode.FORBIDDEN_PORT),
        (OWN_ADDRESS, 14020, StreamCode.FORBIDDEN_PORT),
    ],
)
async def test_a_flow_to_what_is_no_application_here_is_refused(
    engine: EngineServer, ca: CertificateAuthority, host: str, port: int, code: StreamCode
) -> None:
    head = Head(Kind.TCP, bytes(16), NOWHERE, Address.of(host, port))
    own = frozenset((Address.of(OWN_ADDRESS, 0).host,))
    serving = replace(reference.endpoint(ca, engines.SERVER), addresses=own)
    dialling = reference.endpoint(ca, engines.CLIENT)
    async with (
        connect(LOOPBACK, engine.mesh, dialling) as to_engine,
        echoing(serving) as server,
        connect(LOOPBACK, server.port, dialling) as to_reference,
    ):
        for peer in (to_engine, to_reference):
            assert await code_of(peer, head.encode()) == code


@pytest.mark.parametrize("code", [StreamCode.CANCELLED, StreamCode.DRAINING])
async def test_resets_keep_their_code_in_both_directions(
    engine: EngineServer, ca: CertificateAuthority, code: StreamCode
) -> None:
    acceptor = engine.engine.acceptor()
    async with connect(LOOPBACK, engine.api, reference.endpoint(ca, engines.CLIENT)) as peer:
        near = peer.open(Kind.API)
        near.send(b"!")
        far = await acceptor.accept()
        assert await far.recv() == b"!"
        near.reset(code)
        with pytest.raises(StreamReset) as caught:
            await far.recv()
        assert caught.value.code == code
        near = peer.open(Kind.API)
        near.send(b"!")
        (await acceptor.accept()).reset(code)
        with pytest.raises(StreamFailed) as failed:
            await near.recv()
        assert failed.value.code == code


async def test_an_engine_that_stops_closes_with_a_code_of_the_document(
    client: Engine, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        await client.dialler(address(server), engines.SERVER).open()
        (peer,) = server.peers
        await client.stop()
        closed = await closing(peer)
    assert closed.application
    assert closed.code in (ConnectionCode.NO_ERROR, ConnectionCode.DRAINING)


async def test_revoking_a_live_peer_closes_with_revoked(
    client: Engine, ca: CertificateAuthority
) -> None:
    tls = engines.identity(ca, engines.CLIENT)
    serving = reference.endpoint(ca, engines.SERVER)
    async with echoing(serving) as server, Engine(engines.client_settings(), tls) as dialling:
        await dialling.dialler(address(server), engines.SERVER).open()
        (peer,) = server.peers
        serial = f"{serving.identity.certificate.serial:x}"
        tls.set_trust(engines.TRUST_DOMAIN, [ca.root], revoked=[serial])
        dialling.reauthorise()
        closed = await closing(peer)
    assert closed.application
    assert closed.code == ConnectionCode.REVOKED


async def test_a_connection_ends_with_the_certificate_of_its_peer(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    brief = reference.identity(ca, engines.CLIENT, ends=3)
    client = Endpoint(reference.policy(ca), brief)
    async with (
        echoing(reference.endpoint(ca, engines.SERVER)) as server,
        connect(LOOPBACK, server.port, client) as to_reference,
        connect(LOOPBACK, engine.mesh, client) as to_engine,
    ):
        for peer in (to_reference, to_engine):
            closed = await closing(peer)
            assert closed.application
            assert closed.code == ConnectionCode.EXPIRED


async def test_nothing_is_opened_on_a_connection_that_has_ended(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    async with connect(LOOPBACK, engine.api, reference.endpoint(ca, engines.CLIENT)) as peer:
        peer.end()
        await closing(peer)
        with pytest.raises(StreamFailed, match="gone"):
            peer.open(Kind.API)


async def test_a_peer_that_wants_no_more_is_still_heard_to_its_end(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    acceptor = engine.engine.acceptor()
    async with connect(LOOPBACK, engine.api, reference.endpoint(ca, engines.CLIENT)) as peer:
        near = peer.open(Kind.API)
        near.send(b"!")
        far = await acceptor.accept()
        await far.recv()
        await far.send(b"the answer", end=True)
        far.close()
        await peer.ping()
        assert await near.read() == b"the answer"
        await until(lambda: near.stopped_with is not None)
        with pytest.raises(StreamFailed):
            near.send(b"more")
