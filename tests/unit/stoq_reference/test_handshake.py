"""Handshakes between a real engine and the reference, each in both parts."""

import pytest

from stoq.engine import CertificateAuthority, Engine
from stoq_reference.client import connect
from stoq_reference.composite import Scheme
from stoq_reference.endpoint import Endpoint
from stoq_reference.head import Kind
from support import engines, reference
from support.interop import LOOPBACK, EngineServer, address, echoing


async def test_the_reference_dials_an_engine(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    dialling = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
    acceptor = engine.engine.acceptor()
    async with connect(LOOPBACK, engine.api, dialling) as peer:
        assert peer.certificate.spiffe_id == engines.SERVER
        assert not peer.resumed
        near = peer.open(Kind.API)
        near.send(b"to the engine", end=True)
        far = await acceptor.accept()
        assert await far.recv() == b"to the engine"
        assert far.peer.spiffe_id == engines.CLIENT
        assert far.peer.serial == f"{dialling.identity.certificate.serial:x}"
        await far.send(b"and back", end=True)
        assert await near.read() == b"and back"


async def test_an_engine_dials_the_reference(client: Engine, ca: CertificateAuthority) -> None:
    data = bytes(range(256)) * 400
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        near = await client.dialler(address(server), engines.SERVER).open()
        await near.send(data, end=True)
        received = bytearray()
        while piece := await near.recv():
            received += piece
    assert received == data
    assert near.peer.spiffe_id == engines.SERVER


async def test_the_engine_says_what_was_negotiated_with_the_reference(
    client: Engine, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        await client.dialler(address(server), engines.SERVER).open()
        (mine,) = client.connections()
    assert mine.key_exchange == "X25519MLKEM768"
    assert mine.signature == mine.local_signature == "Ed25519+FALCON-1024"
    assert mine.cipher == "AES-256-GCM"
    assert mine.profile == "hybrid-1024"


async def test_a_client_without_a_certificate_reaches_the_api_listener(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    acceptor = engine.engine.acceptor()
    anonymous = reference.endpoint(ca, None, engines.SERVER)
    async with connect(LOOPBACK, engine.api, anonymous) as peer:
        peer.open(Kind.API).send(b"!")
        assert (await acceptor.accept()).peer is None


async def test_an_engine_without_a_certificate_reaches_a_reference_that_allows_it(
    ca: CertificateAuthority,
) -> None:
    serving = reference.endpoint(ca, engines.SERVER)
    open_to_all = Endpoint(reference.anonymous(ca), serving.identity)
    tls = engines.anonymous(ca)
    async with echoing(open_to_all) as server, Engine(engines.client_settings(), tls) as client:
        near = await client.dialler(address(server), engines.SERVER).open()
        await near.send(b"!")
        assert await near.recv() == b"!"


async def test_both_export_the_same_keying_material(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    acceptor = engine.engine.acceptor()
    async with connect(LOOPBACK, engine.api, reference.endpoint(ca, engines.CLIENT)) as peer:
        peer.open(Kind.API).send(b"!")
        far = await acceptor.accept()
        for context in (b"", b"context"):
            assert far.exporter("EXPORTER-test", context) == peer.exporter(
                b"EXPORTER-test", context
            )


async def test_the_engine_announces_the_key_of_its_certificate(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    async with connect(LOOPBACK, engine.mesh, reference.endpoint(ca, engines.CLIENT)) as peer:
        assert peer.parameters.revision == 1
        assert peer.parameters.falcon_key_id == peer.certificate.keys.falcon_key_id


async def test_the_reference_takes_falcon_512_where_it_is_told_to(
    ca: CertificateAuthority,
) -> None:
    serving = Endpoint(
        reference.policy(ca),
        reference.identity(ca, engines.SERVER, profile="hybrid-512"),
        schemes=(Scheme.ED25519_FALCON_512,),
    )
    tls = engines.identity_of_profile(ca, engines.CLIENT, "hybrid-512")
    async with echoing(serving) as server, Engine(engines.client_settings(), tls) as client:
        near = await client.dialler(address(server), engines.SERVER).open()
        await near.send(b"!")
        assert await near.recv() == b"!"
        assert client.connections()[0].signature == "Ed25519+FALCON-512"


async def test_the_engines_other_cipher_is_taken(ca: CertificateAuthority) -> None:
    tls = engines.identity_of_profile(ca, engines.CLIENT, "hybrid-1024", aead="AES-128-GCM")
    serving = reference.endpoint(ca, engines.SERVER)
    async with echoing(serving) as server, Engine(engines.client_settings(), tls) as client:
        await client.dialler(address(server), engines.SERVER).open()
        assert client.connections()[0].cipher == "AES-128-GCM"


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_peer_with_plain_quic_parameters_only_is_accepted(
    engine: EngineServer, client: Engine, ca: CertificateAuthority, side: str
) -> None:
    if side == "client":
        plain = reference.announcing(reference.endpoint(ca, engines.CLIENT), b"")
        async with connect(LOOPBACK, engine.mesh, plain) as peer:
            assert peer.certificate.spiffe_id == engines.SERVER
    else:
        plain = reference.announcing(reference.endpoint(ca, engines.SERVER), b"")
        async with echoing(plain) as server:
            near = await client.dialler(address(server), engines.SERVER).open()
            await near.send(b"!")
            assert await near.recv() == b"!"
