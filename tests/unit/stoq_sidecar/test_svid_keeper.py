"""Keeping an SVID fresh: order, renewal, failure and recovery."""

import asyncio
import time
from collections.abc import Callable

import pytest

from stoq.signing import SignResponse
from stoq_sidecar.backoff import Backoff
from stoq_sidecar.ca_client import SigningError
from stoq_sidecar.identity import Renewal
from stoq_sidecar.readiness import Readiness
from stoq_sidecar.svid import LATCH, SvidKeeper
from support.patience import PATIENCE

ID = "spiffe://td/ns/shop/sa/web"


class Ca:
    """Signs for `life` seconds; fails as often as `failures` says."""

    def __init__(self, life: float, failures: int = 0) -> None:
        self.life, self.failures, self.csrs = life, failures, []
        self.why = "the CA is not there"

    async def sign(self, csr: bytes) -> SignResponse:
        self.csrs.append(csr)
        if self.failures:
            self.failures -= 1
            raise SigningError(self.why)
        expires = int(time.time() + self.life)
        return SignResponse(certificate=b"for " + csr, roots=(b"r",), spiffe_id=ID, expires=expires)


class Keys:
    def __init__(self) -> None:
        self.made, self.installed, self.refuse, self.dropped = 0, [], False, 0

    def new_key(self) -> bytes:
        self.made += 1
        return b"csr %d" % self.made

    def drop(self) -> None:
        self.dropped += 1

    def install(self, certificate: bytes, roots: tuple[bytes, ...]) -> None:
        if self.refuse:
            self.refuse = False
            raise ValueError("the certificate is for another key")
        self.installed.append((certificate, roots))


async def kept(
    ca: Ca, keys: Keys, enough: Callable[[SvidKeeper], bool], at: float = 0.5
) -> tuple[SvidKeeper, Readiness]:
    readiness = Readiness([LATCH])
    # Longer than between two looks at it.
    keeper = SvidKeeper(ca, keys, Renewal(at, 0.0), Backoff(0.02, 0.05), readiness)
    task = asyncio.create_task(keeper.run())
    async with asyncio.timeout(PATIENCE):
        while not enough(keeper):  # noqa: ASYNC110  (the product knows nothing of this wait)
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    return keeper, readiness


async def test_the_first_svid_makes_the_sidecar_ready() -> None:
    keys, before = Keys(), time.time()
    keeper, readiness = await kept(Ca(3600), keys, lambda k: k.status.renewals == 1)
    after = time.time()
    assert readiness.ready
    assert keys.installed == [(b"for csr 1", (b"r",))]
    assert keeper.status.spiffe_id == ID
    assert before <= keeper.status.obtained <= after
    assert before - 1 < keeper.status.expires - 3600 <= after, "in whole seconds"


async def test_each_renewal_has_a_fresh_key() -> None:
    keys = Keys()
    await kept(Ca(1), keys, lambda k: k.status.renewals >= 3, at=0.01)
    assert [certificate for certificate, _ in keys.installed[:3]] == [
        b"for csr 1", b"for csr 2", b"for csr 3",
    ]  # fmt: skip


async def test_a_failing_ca_is_asked_again_and_the_reason_shown() -> None:
    readiness_seen = []
    ca = Ca(3600, failures=3)

    def enough(keeper: SvidKeeper) -> bool:
        readiness_seen.append(keeper.status.last_error)
        return keeper.status.renewals == 1

    keeper, readiness = await kept(ca, Keys(), enough)
    assert keeper.status.failures == 3
    assert "the CA is not there" in readiness_seen
    assert keeper.status.last_error == ""
    assert readiness.ready


async def test_a_certificate_for_another_key_is_not_used() -> None:
    keys = Keys()
    keys.refuse = True
    keeper, _ = await kept(Ca(3600), keys, lambda k: k.status.renewals == 1)
    assert keeper.status.failures == 1
    assert keys.installed == [(b"for csr 2", (b"r",))]


async def test_an_expired_svid_is_an_error_not_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    ca = Ca(0)

    def enough(keeper: SvidKeeper) -> bool:
        if keeper.status.renewals >= 1 and keeper.status.failures == 0:
            ca.failures = 2
        return keeper.status.failures >= 2

    await kept(ca, Keys(), enough)
    failures = [r for r in caplog.records if "no SVID" in r.message]
    assert {r.levelname for r in failures} == {"ERROR"}
    assert "the old one has expired" in failures[0].message


async def test_a_renewal_can_be_asked_for() -> None:
    asked = []

    def enough(keeper: SvidKeeper) -> bool:
        if keeper.status.renewals == 1 and not asked:
            asked.append(True)
            keeper.renew_now()
        return keeper.status.renewals == 2

    await kept(Ca(3600), Keys(), enough)


async def test_a_revoked_certificate_is_dropped_so_that_the_next_signing_is_a_newcomers() -> None:
    ca, keys = Ca(3600, failures=1), Keys()
    ca.why = "cannot reach it: aborted by peer: the cryptographic handshake failed: error 44: x"
    await kept(ca, keys, lambda k: k.status.renewals == 1)
    assert keys.dropped == 1


async def test_an_expired_certificate_is_dropped_before_the_next_signing() -> None:
    keys = Keys()
    await kept(Ca(0), keys, lambda k: k.status.renewals >= 2)
    assert keys.dropped >= 1


async def test_a_ca_that_is_away_costs_no_identity() -> None:
    keys = Keys()
    await kept(Ca(3600, failures=3), keys, lambda k: k.status.renewals == 1)
    assert keys.dropped == 0
