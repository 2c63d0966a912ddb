"""Renewed certificates on live connections between engine and reference."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from stoq.engine import CertificateAuthority, Engine
from stoq_reference import control
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode
from stoq_reference.control import EXPORTER_LABEL, MAX_LENGTH
from stoq_reference.endpoint import Endpoint, Identity
from stoq_reference.head import Kind
from stoq_reference.peer import Closed, Peer
from stoq_reference.reauthentication import message
from stoq_reference.stream import StreamFailed
from support import engines, reference
from support.interop import LOOPBACK, EngineServer, address, closing, echoing
from support.patience import until


async def test_the_engine_takes_a_renewed_certificate_of_the_reference(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    async with connect(LOOPBACK, engine.mesh, reference.endpoint(ca, engines.CLIENT)) as peer:
        for _ in range(2):
            renewed = reference.identity(ca, engines.CLIENT)
            assert await peer.prove(renewed).read() == b""
        assert not peer.closed.done()
    assert engine.engine.snapshot().counters.reauthentications_accepted == 2


async def test_the_reference_takes_a_renewed_certificate_of_a_server(
    ca: CertificateAuthority,
) -> None:
    tls = engines.identity(ca, engines.SERVER)
    async with Engine(engines.server_settings(), tls) as server:
        dialling = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
        async with connect(LOOPBACK, EngineServer(server).api, dialling) as peer:
            leaf = engines.give_identity(tls, ca, engines.SERVER)
            server.prove_identity()
            await until(lambda: peer.certificate.der == leaf)
            assert not peer.closed.done()


async def test_the_reference_takes_a_renewed_certificate_of_a_client(
    ca: CertificateAuthority,
) -> None:
    tls = engines.identity(ca, engines.CLIENT)
    serving = reference.endpoint(ca, engines.SERVER)
    async with echoing(serving) as server, Engine(engines.client_settings(), tls) as client:
        near = await client.dialler(address(server), engines.SERVER).open()
        (peer,) = server.peers
        await peer.established.wait()
        leaf = engines.give_identity(tls, ca, engines.CLIENT)
        client.prove_identity()
        await until(lambda: peer.certificate.der == leaf)
        await near.send(b"!")
        assert await near.recv() == b"!"


async def test_the_engine_sends_no_second_proof_before_the_first_is_answered(
    ca: CertificateAuthority,
) -> None:
    tls = engines.identity(ca, engines.CLIENT)
    serving = reference.endpoint(ca, engines.SERVER)
    async with echoing(serving) as server, Engine(engines.client_settings(), tls) as client:
        near = await client.dialler(address(server), engines.SERVER).open()
        (peer,) = server.peers
        await peer.established.wait()
        held: dict[int, bytes] = {}
        take = peer._control_received

        def hold(stream_id: int, data: bytes, *, end: bool) -> None:
            held[stream_id] = held.get(stream_id, b"") + data

        peer._control_received = hold
        for _ in range(3):
            leaf = engines.give_identity(tls, ca, engines.CLIENT)
            client.prove_identity()
            await until(lambda: held)
            # What the engine sends after a proof would have come by now, too.
            await near.send(b"!")
            assert await near.recv() == b"!"
        assert len(held) == 1
        peer._control_received = take
        ((stream, message),) = held.items()
        take(stream, message, end=True)
        peer.transmit()
        await until(lambda: peer.certificate.der == leaf)
        assert client.snapshot().counters.reauthentications_sent == 2


def proof(peer: Peer, identity: Identity, counter: int = 1, *, dialled: bool = True) -> bytes:
    exporter = peer.exporter(EXPORTER_LABEL)
    return message(identity, dialled=dialled, counter=counter, exporter=exporter)


def nothing(_: Peer, __: Identity, ___: CertificateAuthority) -> bytes:
    return b""


def noise(_: Peer, __: Identity, ___: CertificateAuthority) -> bytes:
    return Random(1).randbytes(5000)


def noise_for_a_leaf(peer: Peer, own: Identity, _: CertificateAuthority) -> bytes:
    made = control.decode(proof(peer, own))
    return replace(made, leaf=Random(2).randbytes(3000)).encode()


def noise_for_a_signature(peer: Peer, own: Identity, _: CertificateAuthority) -> bytes:
    made = control.decode(proof(peer, own))
    return replace(made, signature=Random(3).randbytes(len(made.signature))).encode()


def of_another_scheme(peer: Peer, own: Identity, _: CertificateAuthority) -> bytes:
    return replace(control.decode(proof(peer, own)), scheme=0xFE52).encode()


def cut_short(peer: Peer, own: Identity, _: CertificateAuthority) -> bytes:
    return proof(peer, own)[:-1]


def longer_than_any(_: Peer, __: Identity, ___: CertificateAuthority) -> bytes:
    return bytes(MAX_LENGTH + 1)


def counter_of_zero(peer: Peer, own: Identity, _: CertificateAuthority) -> bytes:
    return proof(peer, own, 0)


def of_the_other_role(peer: Peer, own: Identity, _: CertificateAuthority) -> bytes:
    return proof(peer, own, dialled=False)


def of_another_connection(_: Peer, own: Identity, __: CertificateAuthority) -> bytes:
    return message(own, dialled=True, counter=1, exporter=bytes(32))


def of_another_workload(peer: Peer, _: Identity, ca: CertificateAuthority) -> bytes:
    return proof(peer, reference.identity(ca, engines.SERVER))


def older(peer: Peer, _: Identity, ca: CertificateAuthority) -> bytes:
    return proof(peer, reference.identity(ca, engines.CLIENT, begins=-600))


def expired(peer: Peer, _: Identity, ca: CertificateAuthority) -> bytes:
    return proof(peer, reference.identity(ca, engines.CLIENT, begins=-600, ends=-10))


def with_another_key(peer: Peer, own: Identity, ca: CertificateAuthority) -> bytes:
    strange = reference.identity(ca, engines.CLIENT)
    return proof(peer, Identity(own.certificate, strange.keys))


WRONG: list[tuple[Callable[[Peer, Identity, CertificateAuthority], bytes], ConnectionCode]] = [
    (nothing, ConnectionCode.PROTOCOL),
    (noise, ConnectionCode.PROTOCOL),
    (cut_short, ConnectionCode.PROTOCOL),
    (longer_than_any, ConnectionCode.PROTOCOL),
    (counter_of_zero, ConnectionCode.PROTOCOL),
    (noise_for_a_leaf, ConnectionCode.UNAUTHORISED),
    (noise_for_a_signature, ConnectionCode.UNAUTHORISED),
    (of_another_scheme, ConnectionCode.UNAUTHORISED),
    (of_the_other_role, ConnectionCode.UNAUTHORISED),
    (of_another_connection, ConnectionCode.UNAUTHORISED),
    (of_another_workload, ConnectionCode.UNAUTHORISED),
    (older, ConnectionCode.UNAUTHORISED),
    (expired, ConnectionCode.EXPIRED),
    (with_another_key, ConnectionCode.UNAUTHORISED),
]


async def close_of(port: int, ca: CertificateAuthority, *messages: Callable) -> Closed:
    """How a server closes on a client that sends such messages; nobody else is touched."""
    own = reference.identity(ca, engines.CLIENT)
    client = Endpoint(reference.policy(ca), own)
    async with connect(LOOPBACK, port, client) as bystander:
        async with connect(LOOPBACK, port, client) as peer:
            for made in messages:
                peer.open(Kind.CONTROL).send(made(peer, own, ca), end=True)
            closed = await closing(peer)
        assert await bystander.prove(own).read() == b""
        assert not bystander.closed.done()
    return closed


@pytest.mark.parametrize(("wrong", "code"), WRONG)
async def test_a_wrong_proof_closes_the_connection(
    engine: EngineServer, ca: CertificateAuthority, wrong: Callable, code: ConnectionCode
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for port in (engine.mesh, server.port):
            closed = await close_of(port, ca, wrong)
            assert closed.application
            assert closed.code == code


async def test_a_proof_that_is_sent_again_closes_the_connection(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for port in (engine.mesh, server.port):
            closed = await close_of(port, ca, *[lambda peer, own, _: proof(peer, own)] * 2)
            assert closed.code == ConnectionCode.PROTOCOL


async def test_a_proof_heard_on_one_connection_ends_another_on_which_it_is_repeated(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    own = reference.identity(ca, engines.CLIENT)
    client = Endpoint(reference.policy(ca), own)
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for port in (engine.mesh, server.port):
            async with (
                connect(LOOPBACK, port, client) as first,
                connect(LOOPBACK, port, client) as second,
            ):
                heard = proof(first, own)
                taken = first.open(Kind.CONTROL)
                taken.send(heard, end=True)
                assert await taken.read() == b""
                second.open(Kind.CONTROL).send(heard, end=True)
                assert (await closing(second)).code == ConnectionCode.UNAUTHORISED
                assert not first.closed.done()


async def test_proofs_without_end_close_the_connection(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    own = reference.identity(ca, engines.CLIENT)
    client = Endpoint(reference.policy(ca), own)

    async def prove_on(peer: Peer) -> None:
        # One after the other: streams are not in order, and counters have to be.
        while True:
            await peer.prove(own).read()

    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for port in (engine.mesh, server.port):
            async with connect(LOOPBACK, port, client) as peer:
                with pytest.raises(StreamFailed):
                    await prove_on(peer)
                assert (await closing(peer)).code == ConnectionCode.OVERLOADED


async def test_who_showed_no_certificate_cannot_renew_it(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    anonymous = reference.endpoint(ca, None, engines.SERVER)
    async with connect(LOOPBACK, engine.api, anonymous) as peer:
        peer.prove(reference.identity(ca, engines.CLIENT))
        assert (await closing(peer)).code == ConnectionCode.UNAUTHORISED
