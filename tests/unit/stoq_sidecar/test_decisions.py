"""Back-off, renewal time and readiness: the small decisions."""

import logging

import pytest

from stoq_sidecar.backoff import Backoff
from stoq_sidecar.identity import Renewal, Standing, refused_by_peer, reset_secret
from stoq_sidecar.readiness import Readiness


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(0.2, 15.0)
    assert [backoff.delay(n, 1.0) for n in (1, 2, 3, 7, 8, 500)] == [
        0.2, 0.4, 0.8, 12.8, 15.0, 15.0,
    ]  # fmt: skip


def test_at_least_half_of_a_wait_is_kept() -> None:
    assert Backoff(1.0, 8.0).delay(3, 0.0) == 2.0


def test_a_crowd_spreads_over_the_time_that_its_server_takes_for_it() -> None:
    backoff = Backoff(0.2, 15.0)
    assert [backoff.delay(1, draw, 5000) for draw in (0.0, 0.5, 1.0)] == [0.1, 5.0, 10.0]
    assert backoff.delay(1, 1.0, 50) == 0.2


def test_who_reached_nobody_keeps_its_turn_in_the_crowd() -> None:
    backoff = Backoff(0.2, 15.0)
    # A dial of 5 s, and the rest of the 10 s in which 5,000 have had their turn, whatever is drawn.
    assert [backoff.delay(2, draw, 5000, 5.0) for draw in (0.0, 0.5, 1.0)] == [5.0, 5.0, 5.0]
    assert backoff.delay(3, 0.0, 5000, 0.1) == 9.9
    assert backoff.delay(2, 1.0, 5000, 60.0) == 0.4
    assert backoff.delay(8, 1.0, 5000, 5.0) == 15.0


def test_a_crowd_whose_server_is_away_stays_spread_and_is_back_soon_after_it() -> None:
    backoff, away, dial = Backoff(0.2, 15.0), 12.0, 5.0
    back = []
    for number in range(5000):
        draw = number / 5000
        moment, failures = backoff.delay(1, draw, 5000), 1
        while moment < away:
            failures += 1
            moment += dial + backoff.delay(failures, draw, 5000, dial)
        back.append(moment - away)
    assert max(back) <= 10.0
    assert max(sum(second <= moment < second + 1 for moment in back) for second in range(10)) <= 520


def test_the_largest_crowd_waits_no_longer_than_anybody() -> None:
    assert Backoff(0.2, 15.0).delay(1, 1.0, 1_000_000) == 15.0


def test_renewal_is_never_later_than_promised_and_spread_before() -> None:
    renewal = Renewal(at=0.5, jitter=0.1)
    assert renewal.moment(1000.0, 2000.0, 0.0) == 1500.0
    assert renewal.moment(1000.0, 2000.0, 1.0) == pytest.approx(1400.0)


def test_an_svid_without_life_is_due_at_once() -> None:
    assert Renewal(0.5, 0.1).moment(1000.0, 900.0, 0.0) == 1000.0


@pytest.mark.parametrize(
    ("now", "standing"),
    [(1499, Standing.VALID), (1500, Standing.DUE), (1999, Standing.DUE), (2000, Standing.EXPIRED)],
)
def test_standing_changes_at_half_life_and_at_the_end(now: int, standing: Standing) -> None:
    assert Renewal(0.5, 0.1).standing(1000, 2000, now) is standing


def test_ready_once_every_latch_has_dropped() -> None:
    readiness = Readiness(["capture", "identity"])
    assert readiness.blocking() == {"capture": "has not started", "identity": "has not started"}
    readiness.drop("capture")
    assert not readiness.ready
    readiness.drop("identity")
    assert readiness.ready
    assert readiness.blocking() == {}


def test_why_a_latch_blocks_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    readiness = Readiness(["identity"])
    with caplog.at_level(logging.INFO):
        for why in ("no token", "no token", "CA unreachable"):
            readiness.note("identity", why)
    assert [r.message for r in caplog.records] == [
        "not ready: identity: no token",
        "not ready: identity: CA unreachable",
    ]
    assert readiness.blocking() == {"identity": "CA unreachable"}


def test_a_dropped_latch_stays_dropped() -> None:
    readiness = Readiness(["identity"])
    readiness.drop("identity")
    readiness.note("identity", "the CA is gone")  # the old SVID still works
    assert readiness.ready
    with pytest.raises(KeyError):
        readiness.drop("identity")


def test_a_draining_sidecar_is_never_ready_again() -> None:
    readiness = Readiness([])
    assert readiness.ready
    readiness.drain()
    assert not readiness.ready
    assert readiness.blocking() == {"drain": "the sidecar is ending"}


@pytest.mark.parametrize(
    ("why", "refused"),
    [
        ("aborted by peer: the cryptographic handshake failed: error 44: it is revoked", True),
        ("aborted by peer: the cryptographic handshake failed: error 45: it has expired", True),
        ("[fd00::1]:14012 closed the connection: revoked the certificate is revoked", True),
        ("aborted by peer: the cryptographic handshake failed: error 48: unknown root", False),
        ("no answer from [fd00::1]:14012 on UDP 14012", False),
        ("[fd00::1]:14012 closed the connection: draining", False),
    ],
)
def test_a_refused_certificate_is_told_from_other_failures(why: str, refused: bool) -> None:
    assert refused_by_peer(why) is refused


def test_the_reset_secret_is_the_pods_and_the_tokens() -> None:
    found = reset_secret("token", "shop/web-0")
    assert len(found) == 32
    assert found == reset_secret("token", "shop/web-0")
    assert len({found, reset_secret("other", "shop/web-0"), reset_secret("token", "shop/db")}) == 3
