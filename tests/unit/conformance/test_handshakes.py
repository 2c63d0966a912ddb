"""Handshakes and what is around them: resumption, Retry, key updates."""

from dataclasses import replace
from functools import partial

import pytest

from stoq.engine import CertificateAuthority
from stoq_reference.client import connect
from stoq_reference.errors import Reason
from stoq_reference.head import Kind
from support import engines, reference
from support.ends import (
    Aead,
    Offer,
    Pair,
    Profile,
    ReferenceClient,
    ReferenceServer,
    Seen,
    echoed,
    greeted,
    update_keys,
)
from support.interop import LOOPBACK, EngineServer, echoing, refusal
from support.patience import until
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

DATA = bytes(range(256)) * 100


def seen(
    peer: str | None,
    *,
    signature: str = "Ed25519+FALCON-1024",
    cipher: str = "AES-256-GCM",
    resumed: bool = False,
) -> Seen:
    """A connection with this peer, an ordinary one but for what is said."""
    return Seen(peer, signature if peer else None, cipher, resumed, 0, False)


@pairs()
async def test_both_ends_prove_who_they_are_with_hybrid_cryptography(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with pair.ends(ca) as (client, server):
        await greeted(client, server)
        assert client.seen() == seen(engines.SERVER)
        assert server.seen() == seen(engines.CLIENT)


@pairs()
async def test_bytes_come_back_as_they_were_sent(pair: Pair, ca: CertificateAuthority) -> None:
    async with pair.ends(ca) as (client, server):
        assert await echoed(client, server, DATA) == DATA


@pairs()
async def test_both_ends_export_the_same_keying_material(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with pair.ends(ca) as (client, server):
        near, far = await greeted(client, server)
        for context in (b"", b"context"):
            label = "EXPORTER-test"
            assert near.exporter(label, context) == far.exporter(label, context)


@pairs()
@pytest.mark.parametrize(
    ("profile", "aead", "signature"),
    [
        ("hybrid-512", "AES-256-GCM", "Ed25519+FALCON-512"),
        ("hybrid-1024", "AES-128-GCM", "Ed25519+FALCON-1024"),
    ],
)
async def test_the_smaller_key_and_the_other_cipher_are_spoken_where_both_ends_are_told_to(
    pair: Pair, ca: CertificateAuthority, profile: Profile, aead: Aead, signature: str
) -> None:
    offer = Offer(profile=profile, aead=aead)
    async with pair.ends(ca, offer, offer) as (client, server):
        assert await echoed(client, server, b"!") == b"!"
        assert client.seen() == seen(engines.SERVER, signature=signature, cipher=aead)


@pairs()
async def test_a_client_without_a_certificate_reaches_the_api(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with pair.ends(ca, Offer(certificate=False)) as (client, server):
        near = await client.open(server)
        await near.send(b"!")
        await server.accept()
        assert server.seen() == seen(None)


@pairs()
async def test_a_session_is_resumed_behind_the_same_certificates(
    pair: Pair, ca: CertificateAuthority
) -> None:
    offer = Offer(max_shard=65536)
    # Time to look at each connection before its pool closes it.
    async with pair.ends(ca, offer, offer, idle_ms=1000) as (client, server):
        for resumed in (False, True, True):
            await client.send_object(server, b"!")
            assert await server.received() == b"!"
            assert client.seen() == seen(engines.SERVER, resumed=resumed)
            assert server.seen() == seen(engines.CLIENT, resumed=resumed)
            await client.hang_up()
            await until(server.left)


@pairs()
async def test_a_client_proves_its_address_when_a_retry_asks_for_it(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with pair.ends(ca, server=Offer(retry=True)) as (client, server):
        assert await echoed(client, server, b"!") == b"!"
        assert server.retries > 0
        if isinstance(client, ReferenceClient):
            assert client.peer.quic.retried


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_keys_are_updated_while_data_goes_on(pair: Pair, ca: CertificateAuthority) -> None:
    async with pair.ends(ca) as (client, server):
        near, far = await greeted(client, server)
        for end in (client, server) * 3:
            if isinstance(end, ReferenceClient | ReferenceServer):
                await update_keys(end.peer)
            await near.send(b"ping")
            assert await far.recv() == b"ping"
            await far.send(b"pong")
            assert await near.recv() == b"pong"


async def test_the_engine_announces_the_key_of_its_certificate(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    async with connect(LOOPBACK, engine.mesh, reference.endpoint(ca, engines.CLIENT)) as peer:
        assert peer.parameters.revision == 1
        assert peer.parameters.falcon_key_id == peer.certificate.keys.falcon_key_id


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


@pairs(TO_ENGINE, REFERENCES)
async def test_a_ticket_is_taken_once(
    pair: Pair, engine: EngineServer, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        port = engine.mesh if pair == TO_ENGINE else server.port
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
