"""Objects that are signed, and what a peer may try with keys and signatures."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache

import pytest

from stoq.api.stream import StreamError, StreamReset
from stoq.engine import CertificateAuthority, Engine
from stoq_reference import frames, objects, shards, signatures
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.endpoint import Identity
from stoq_reference.frames import CERTIFICATE, Frame, Key, Manifest, Signature
from stoq_reference.head import Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import serve
from stoq_reference.stream import StreamFailed
from support import engines, reference
from support.ends import Implementation, Offer, Pair, Server, serving
from support.interop import LOOPBACK, closing, refused
from support.patience import PATIENCE
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

SHARD = 1000
OFFER = Parameters(extensions=Extension.SHARDS | Extension.SIGNATURES, max_shard=65536)
TAKES = Offer(max_shard=65536)
TRANSFER = bytes(range(16))
NOW = int(time.time())
OTHER = f"spiffe://{engines.TRUST_DOMAIN}/ns/shop/sa/other"


@asynccontextmanager
async def receiving(
    implementation: Implementation,
    ca: CertificateAuthority,
    takes: Offer = TAKES,
    offer: Parameters = OFFER,
) -> AsyncIterator[tuple[Server, Peer, Identity]]:
    """An end that takes objects, and a connection of the reference to it, with its identity."""
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=offer)
    assert dialling.identity is not None
    async with (
        asyncio.timeout(PATIENCE),
        serving(implementation, ca, takes) as server,
        connect(LOOPBACK, server.mesh, dialling) as peer,
    ):
        yield server, peer, dialling.identity


def empty(number: int) -> Manifest:
    """An object of no bytes: it is whole with its manifest."""
    (manifest,) = shards.split(bytes([number]) * 16, b"", SHARD)
    assert isinstance(manifest, Manifest)
    return manifest


def over(
    frame: Frame, by: Identity, *, subject: int = signatures.MANIFEST, until: int = NOW + 600
) -> Signature:
    return signatures.sign(by, subject, signatures.digest(frame), until)


def forged(signature: Signature) -> Signature:
    made = bytearray(signature.signature)
    made[700] ^= 1
    return replace(signature, signature=bytes(made))


@cache
def other(ca: CertificateAuthority) -> Identity:
    """Another member of the mesh."""
    return reference.identity(ca, OTHER)


@pairs()
@pytest.mark.parametrize("lanes", [1, 3])
async def test_an_object_that_is_signed_comes_to_who_takes_nothing_else(
    pair: Pair, ca: CertificateAuthority, lanes: int
) -> None:
    data = secrets.token_bytes(10_500)
    takes = replace(TAKES, signer=engines.CLIENT)
    async with pair.ends(ca, TAKES, takes) as (client, server):
        await client.send_object(server, data, lanes=lanes, sign=True)
        assert await server.received() == data


@pairs()
@pytest.mark.parametrize("sign", [True, False])
async def test_an_object_of_another_signer_or_none_is_refused(
    pair: Pair, ca: CertificateAuthority, sign: bool
) -> None:
    takes = replace(TAKES, signer=engines.SERVER if sign else engines.CLIENT)
    async with pair.ends(ca, TAKES, takes) as (client, server):
        with pytest.raises((StreamReset, StreamFailed)) as failed:
            await client.send_object(server, b"data", sign=sign)
        assert isinstance(failed.value, StreamReset | StreamFailed)
        assert failed.value.code == StreamCode.BAD_SIGNATURE


async def ask_by_engine(ca: CertificateAuthority, port: int, signer: str) -> bytes:
    tls = engines.identity(ca, engines.CLIENT, max_shard=65536)
    async with Engine(engines.client_settings(), tls) as asker:
        remote = f"[{LOOPBACK}]:{port}"
        holder = asker.object_asker(remote, engines.SERVER, signer=signer)
        found = await holder.ask(TRANSFER)
        assert found.signer == signer
        return found.data


async def ask_by_reference(ca: CertificateAuthority, port: int, signer: str) -> bytes:
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=OFFER)
    async with connect(LOOPBACK, port, dialling) as peer:
        return await objects.ask(peer, TRANSFER, signer=signer)


ASKING = {"engine": ask_by_engine, "reference": ask_by_reference}


@pairs()
async def test_who_asks_a_holder_knows_whose_object_it_is(
    pair: Pair, ca: CertificateAuthority
) -> None:
    data = secrets.token_bytes(5_500)
    holds = replace(TAKES, holds=True)
    async with receiving(pair.server, ca, holds) as (server, peer, _):
        manifest, *rest = shards.split(TRANSFER, data, SHARD)
        assert isinstance(manifest, Manifest)
        # Somebody else than the peer: it may have had it of another holder.
        proof = signatures.prove(other(ca), manifest, NOW)
        await objects.whole(objects.begin(peer, [*proof, manifest, *rest]), peer.agreed)
        assert await server.received() == data
        assert await ASKING[pair.client](ca, server.mesh, OTHER) == data
        with pytest.raises((StreamError, shards.Refused), match="signed by"):
            await ASKING[pair.client](ca, server.mesh, engines.CLIENT)


@pairs(TO_ENGINE, REFERENCES)
async def test_a_holder_of_an_unsigned_object_cannot_pass_it_off_as_signed(
    pair: Pair, ca: CertificateAuthority
) -> None:
    holds = replace(TAKES, holds=True)
    async with receiving(pair.server, ca, holds) as (server, peer, _):
        sent = shards.split(TRANSFER, b"data", SHARD)
        await objects.whole(objects.begin(peer, sent), peer.agreed)
        assert await server.received() == b"data"
        with pytest.raises((StreamError, shards.Refused), match="signed by"):
            await ASKING[pair.client](ca, server.mesh, engines.CLIENT)


@cache
def stranger() -> Identity:
    """Of a CA that nobody here trusts."""
    return reference.identity(engines.authority(), engines.CLIENT)


@cache
def expired(ca: CertificateAuthority) -> Identity:
    return reference.identity(ca, engines.CLIENT, begins=-3500, ends=-600)


Made = Callable[[CertificateAuthority, Identity], list[Frame]]

HOSTILE: dict[str, Made] = {
    "by a key that is not the peer's": lambda ca, _: [over(empty(1), other(ca)), empty(1)],
    "forged": lambda _, own: [forged(over(empty(1), own)), empty(1)],
    "over another manifest": lambda _, own: [over(empty(2), own), empty(1)],
    "over something that is no manifest": lambda _, own: [
        over(empty(1), own, subject=signatures.ROUTE),
        empty(1),
    ],
    "that has ended": lambda _, own: [over(empty(1), own, until=NOW - 1), empty(1)],
    "that ends too late": lambda _, own: [over(empty(1), own, until=NOW + 8 * 86_400), empty(1)],
    "by another than its certificate says": lambda ca, own: [
        Key(CERTIFICATE, key=other(ca).certificate.der),
        over(empty(1), own),
        empty(1),
    ],
    "by a certificate of another mesh": lambda _, own: [
        Key(CERTIFICATE, key=stranger().certificate.der),
        over(empty(1), own),
        empty(1),
    ],
    "by a certificate that has ended": lambda ca, _: [
        *signatures.prove(expired(ca), empty(1), NOW - 3000),
        empty(1),
    ],
    "by a certificate that is none": lambda _, own: [
        Key(CERTIFICATE, key=bytes(100)),
        over(empty(1), own),
        empty(1),
    ],
}


@pairs(TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("case", HOSTILE)
async def test_a_signature_that_is_not_acceptable_is_refused_and_nothing_else_is_touched(
    pair: Pair, ca: CertificateAuthority, case: str
) -> None:
    async with receiving(pair.server, ca) as (server, peer, own):
        assert await refused(peer, HOSTILE[case](ca, own)) == StreamCode.BAD_SIGNATURE
        still = shards.split(bytes(16), b"still here", SHARD)
        await objects.whole(objects.begin(peer, still), peer.agreed)
        assert await server.received() == b"still here"


@pairs(TO_ENGINE)
async def test_who_is_refused_too_often_is_closed(pair: Pair, ca: CertificateAuthority) -> None:
    async with receiving(pair.server, ca) as (_, peer, own):
        wrong = forged(over(empty(1), own))
        for _ in range(8):
            assert await refused(peer, [wrong]) == StreamCode.BAD_SIGNATURE
        objects.begin(peer, [wrong])
        assert (await closing(peer)).code == ConnectionCode.OVERLOADED


@pairs(TO_ENGINE, REFERENCES)
async def test_keys_are_announced_rotated_and_revoked(pair: Pair, ca: CertificateAuthority) -> None:
    takes = replace(TAKES, signer=engines.CLIENT)
    async with receiving(pair.server, ca, takes) as (server, peer, own):
        newer = reference.identity(ca, engines.CLIENT)
        old, new = own.certificate.keys, newer.certificate.keys
        announced = Key(signatures.ANNOUNCE, key=old.falcon)
        await whole(peer, server, [announced, over(empty(1), own), empty(1)])
        unknown = Key(signatures.ANNOUNCE, key=new.falcon)
        assert await refused(peer, [unknown]) == StreamCode.BAD_SIGNATURE

        rotated = Key(signatures.ROTATE, old.falcon_key_id, new.falcon)
        assert await refused(peer, [rotated]) == StreamCode.BAD_SIGNATURE
        by_new = over(rotated, newer, subject=signatures.KEY)
        assert await refused(peer, [by_new, rotated]) == StreamCode.BAD_SIGNATURE
        by_old = over(rotated, own, subject=signatures.KEY)
        await whole(peer, server, [by_old, rotated, over(empty(2), newer), empty(2)])

        revoked = Key(signatures.REVOKE, old.falcon_key_id)
        by_new = over(revoked, newer, subject=signatures.KEY)
        await whole(peer, server, [by_new, revoked, over(empty(3), newer), empty(3)])
        assert await refused(peer, [over(empty(4), own), empty(4)]) == StreamCode.BAD_SIGNATURE


async def whole(peer: Peer, server: Server, sent: list[Frame]) -> None:
    """What these frames bring comes."""
    await objects.whole(objects.begin(peer, sent), peer.agreed)
    assert await server.received() == b""


@pairs(TO_ENGINE, REFERENCES)
async def test_a_signature_that_is_not_in_use_closes_the_connection(
    pair: Pair, ca: CertificateAuthority
) -> None:
    offer = replace(OFFER, extensions=Extension.SHARDS)
    async with receiving(pair.server, ca, offer=offer) as (_, peer, own):
        peer.open(Kind.FRAMES).send(frames.encode(over(empty(1), own)))
        assert (await closing(peer)).code == ConnectionCode.PROTOCOL


@pairs(TO_REFERENCE)
async def test_an_engine_signs_nothing_for_a_peer_that_takes_no_signatures(
    pair: Pair, ca: CertificateAuthority
) -> None:
    assert pair.client == "engine"
    old = replace(reference.endpoint(ca, engines.SERVER), parameters=replace(OFFER, extensions=4))
    tls = engines.identity(ca, engines.CLIENT, max_shard=0)
    async with serve(LOOPBACK, 0, old) as server, Engine(engines.client_settings(), tls) as engine:
        sender = engine.object_sender(f"[{LOOPBACK}]:{server.port}", engines.SERVER)
        with pytest.raises(StreamError, match="takes no signatures"):
            await sender.send(b"data", sign=True)
