"""Certificates that break one rule: both implementations refuse each for the same reason."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from stoq.engine import CertificateAuthority, Engine, TlsContext, parse_certificate
from stoq_reference.authorise import Policy, authorise
from stoq_reference.certificate import parse_leaf, parse_root
from stoq_reference.client import connect
from stoq_reference.composite import PrivateKeys, Scheme
from stoq_reference.endpoint import Endpoint, Identity
from stoq_reference.errors import Malformed, Refused
from support import engines, reference
from support.broken import DOMAIN, FORM, GOOD, REFUSED, SPIFFE_ID
from support.forge import Pair, key_usage, leaf, root
from support.interop import LOOPBACK, refusal


@cache
def issuer() -> Pair:
    return Pair.generate()


def policy() -> Policy:
    return Policy({DOMAIN: [root(issuer(), DOMAIN)]})


@pytest.fixture
async def port(ca: CertificateAuthority):
    """An engine that trusts the forger's root."""
    tls = TlsContext(accept_other_degree=True)
    federated = {DOMAIN: [root(issuer(), DOMAIN)]}
    tls.set_trust(engines.TRUST_DOMAIN, [ca.root], federated=federated)
    engines.give_identity(tls, ca, engines.SERVER)
    async with Engine(engines.server_settings(), tls) as server:
        yield server.local_port("bootstrap")


def showing(leaf: bytes, ca: CertificateAuthority) -> Endpoint:
    """A client that shows any bytes for its certificate; it never gets to prove its keys."""
    shown = replace(reference.identity(ca, engines.CLIENT).certificate, der=leaf)
    keys = PrivateKeys(bytes(32), Pair.generate().private.falcon, Scheme.ED25519_FALCON_512)
    return Endpoint(reference.policy(ca), Identity(shown, keys))


@pytest.mark.parametrize("name", REFUSED)
def test_the_reference_refuses_a_broken_leaf(name: str) -> None:
    made, reason = REFUSED[name]
    with pytest.raises(Refused) as refused:
        authorise(made(issuer()), policy(), time.time())
    assert refused.value.reason is reason


async def test_the_engine_refuses_every_broken_leaf(port: int, ca: CertificateAuthority) -> None:
    few_at_once = asyncio.Semaphore(4)

    async def alert(made: Callable[[Pair], bytes]) -> int | None:
        async with few_at_once:
            return (await refusal(port, showing(made(issuer()), ca))).alert

    alerts = await asyncio.gather(*(alert(made) for made, _ in REFUSED.values()))
    expected = {name: reason.alert for name, (_, reason) in REFUSED.items()}
    assert dict(zip(REFUSED, alerts, strict=True)) == expected


@pytest.mark.parametrize("name", FORM)
def test_the_engine_does_not_even_read_a_leaf_of_the_wrong_form(name: str) -> None:
    with pytest.raises(ValueError, match="."):
        parse_certificate(FORM[name](issuer()))


@pytest.mark.parametrize("name", GOOD)
def test_both_read_the_same_from_a_good_leaf(name: str) -> None:
    encoded = leaf(issuer(), SPIFFE_ID, **GOOD[name]).signed(issuer().private)
    theirs, ours = parse_certificate(encoded), authorise(encoded, policy(), time.time())
    assert (theirs.spiffe_id, theirs.serial) == (ours.spiffe_id, f"{ours.serial:x}")
    assert (theirs.not_before, theirs.not_after) == (ours.not_before, ours.not_after)
    assert theirs.falcon_key_id == ours.keys.falcon_key_id
    assert ours.spiffe_id == SPIFFE_ID


@pytest.mark.parametrize("name", GOOD)
async def test_the_engine_talks_to_who_has_a_good_leaf(
    name: str, port: int, ca: CertificateAuthority
) -> None:
    draft = leaf(issuer(), SPIFFE_ID, **GOOD[name])
    certificate = parse_leaf(draft.signed(issuer().private))
    client = Endpoint(reference.policy(ca), Identity(certificate, draft.subject.private))
    async with connect(LOOPBACK, port, client) as peer:
        await peer.ping()
        assert not peer.closed.done()


@pytest.mark.parametrize(
    "changes",
    [
        {"authority": False},
        {"usage": key_usage(signs=True)},
        {"uris": [SPIFFE_ID]},
        {"issuer_id": bytes(20), "alternative_signature": lambda s: bytes(len(s))},
    ],
    ids=["no authority", "it may not sign certificates", "a workload's id", "not signed by itself"],
)
def test_both_refuse_a_root_that_is_none(changes: dict) -> None:
    encoded = root(issuer(), DOMAIN, **changes)
    with pytest.raises(Malformed):
        parse_root(encoded)
    with pytest.raises(ValueError, match="."):
        TlsContext().set_trust(DOMAIN, [encoded])
