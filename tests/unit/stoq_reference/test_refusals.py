"""Peers that may not speak, refused by the engine and by the reference for the same reason."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from stoq.api.stream import ConnectionLost
from stoq.engine import CertificateAuthority, Engine
from stoq_reference.endpoint import Endpoint
from stoq_reference.errors import Reason
from support import engines, reference
from support.interop import EngineServer, address, closing, echoing, refusal

OTHER = f"spiffe://{engines.TRUST_DOMAIN}/ns/shop/sa/other"


def other_domain(ca: CertificateAuthority) -> Endpoint:
    foreign = engines.authority("other.example")
    stranger = reference.identity(foreign, "spiffe://other.example/ns/shop/sa/web")
    return replace(reference.endpoint(ca, None), identity=stranger)


def unknown_root(ca: CertificateAuthority) -> Endpoint:
    forger = engines.authority()
    return replace(
        reference.endpoint(ca, None), identity=reference.identity(forger, engines.CLIENT)
    )


def expired(ca: CertificateAuthority) -> Endpoint:
    late = reference.identity(ca, engines.CLIENT, begins=-600, ends=-60)
    return replace(reference.endpoint(ca, None), identity=late)


def not_yet_valid(ca: CertificateAuthority) -> Endpoint:
    early = reference.identity(ca, engines.CLIENT, begins=600)
    return replace(reference.endpoint(ca, None), identity=early)


def another_ed25519_key(ca: CertificateAuthority) -> Endpoint:
    return reference.signing_with(reference.endpoint(ca, engines.CLIENT), ed25519=bytes(32))


def another_falcon_key(ca: CertificateAuthority) -> Endpoint:
    strange = reference.identity(ca, engines.CLIENT).keys.falcon
    return reference.signing_with(reference.endpoint(ca, engines.CLIENT), falcon=strange)


def another_key_id(ca: CertificateAuthority) -> Endpoint:
    own = reference.endpoint(ca, engines.CLIENT)
    return replace(own, parameters=replace(own.parameters, falcon_key_id=bytes(32)))


def nameless(ca: CertificateAuthority) -> Endpoint:
    return reference.endpoint(ca, None)


CLIENTS = pytest.mark.parametrize(
    ("client_of", "reason"),
    [
        (nameless, Reason.NO_CERTIFICATE),
        (other_domain, Reason.OTHER_TRUST_DOMAIN),
        (unknown_root, Reason.UNKNOWN_ROOT),
        (expired, Reason.OUTSIDE_VALIDITY),
        (not_yet_valid, Reason.OUTSIDE_VALIDITY),
        (another_ed25519_key, Reason.BAD_SIGNATURE),
        (another_falcon_key, Reason.BAD_SIGNATURE),
        (another_key_id, Reason.OTHER_FALCON_KEY),
    ],
)


@CLIENTS
async def test_the_engine_refuses_a_client(
    engine: EngineServer,
    ca: CertificateAuthority,
    client_of: Callable[[CertificateAuthority], Endpoint],
    reason: Reason,
) -> None:
    closed = await refusal(engine.mesh, client_of(ca))
    assert closed.alert == reason.alert


@CLIENTS
async def test_the_reference_refuses_a_client(
    ca: CertificateAuthority,
    client_of: Callable[[CertificateAuthority], Endpoint],
    reason: Reason,
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        closed = await refusal(server.port, client_of(ca))
    assert closed.alert == reason.alert


async def test_the_reference_refuses_a_server_that_is_somebody_else(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    closed = await refusal(engine.mesh, reference.endpoint(ca, engines.CLIENT, OTHER))
    assert closed.alert == Reason.OTHER_ID.alert
    assert OTHER in closed.reason


async def test_the_engine_refuses_a_server_that_is_somebody_else(
    client: Engine, ca: CertificateAuthority
) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        with pytest.raises(ConnectionLost, match="other"):
            await client.dialler(address(server), OTHER).open()
        (peer,) = server.peers
        assert (await closing(peer)).alert == Reason.OTHER_ID.alert


@pytest.mark.parametrize("which", ["ed25519", "falcon"])
async def test_the_engine_refuses_a_server_without_the_keys_of_its_certificate(
    client: Engine, ca: CertificateAuthority, which: str
) -> None:
    strange = getattr(reference.identity(ca, engines.SERVER).keys, which)
    forging = reference.signing_with(reference.endpoint(ca, engines.SERVER), **{which: strange})
    async with echoing(forging) as server:
        with pytest.raises(ConnectionLost, match="CertificateVerify"):
            await client.dialler(address(server), engines.SERVER).open()


async def test_a_revoked_identity_is_refused(
    engine: EngineServer, ca: CertificateAuthority
) -> None:
    own = reference.endpoint(ca, engines.CLIENT, engines.SERVER)
    in_the_future = {engines.SERVER: 1 << 40}
    wary = replace(own, policy=replace(own.policy, revoked_identities=in_the_future))
    assert (await refusal(engine.mesh, wary)).alert == Reason.REVOKED.alert


async def test_a_revoked_serial_number_is_refused(ca: CertificateAuthority) -> None:
    client = reference.endpoint(ca, engines.CLIENT)
    serving = reference.endpoint(ca, engines.SERVER)
    serials = frozenset({client.identity.certificate.serial})
    refusing = replace(serving, policy=replace(serving.policy, revoked_serials=serials))
    async with echoing(refusing) as server:
        assert (await refusal(server.port, client)).alert == Reason.REVOKED.alert
