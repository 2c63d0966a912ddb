"""Who began a route: docs/vectors/routes.json, and the frames that come before a route."""

from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from stoq_reference import frames, origins
from stoq_reference.composite import PublicKeys, Scheme
from stoq_reference.errors import Malformed
from stoq_reference.frames import Frame, Inner, Open, Origin, Signature
from support.vectors import Case, cases, vectors

FILE = vectors("routes.json")
KEYS = PublicKeys(bytes(32), bytes.fromhex(FILE["key"]), Scheme.ED25519_FALCON_512)


def read(case: Case) -> tuple[Open, Signature]:
    """The route and the signature of a case."""
    route, _ = frames.decode(bytes.fromhex(case["route"]))
    signature, _ = frames.decode(bytes.fromhex(case["signature"]))
    assert isinstance(route, Open)
    assert isinstance(signature, Signature)
    return route, signature


@cases("routes.json")
def test_a_signature_begins_its_route_at_every_gateway(case: Case) -> None:
    route, signature = read(case)
    assert origins.digest(route).hex() == case["digest"]
    assert origins.signature_fault(route, signature, KEYS, FILE["now"]) is None


@cases("routes.json", "invalid")
def test_any_other_signature_is_refused(case: Case) -> None:
    assert origins.signature_fault(*read(case), KEYS, FILE["now"])


def test_the_key_is_named_by_its_digest() -> None:
    assert KEYS.falcon_key_id == sha256(KEYS.falcon).digest()


async def following(*given: Frame) -> origins.Begun:
    async def incoming() -> AsyncIterator[Frame]:
        for frame in given:
            yield frame

    return await origins.begun(incoming())


async def test_a_route_follows_the_certificate_and_the_signature_of_who_began_it() -> None:
    route, signature = read(FILE["valid"][0])
    origin = Origin(b"leaf")
    assert await following(route) == origins.Begun(route)
    assert await following(origin, signature, route) == origins.Begun(route, origin, signature)
    assert await following(origin, route) == origins.Begun(route, origin)
    for wrong in (
        (signature, route),
        (origin, origin, route),
        (origin, signature, signature, route),
        (Inner(0, b"packet"),),
        (origin, signature),
    ):
        with pytest.raises(Malformed):
            await following(*wrong)
