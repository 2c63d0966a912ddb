import pytest

from stoq_operator.ledger import Issued, Ledger, barred
from stoq_operator.rate import Rate
from stoq_operator.rotation import (
    OVERLAP,
    RENEW_BEFORE,
    ROOT_LIFE,
    Phase,
    Root,
    advance,
)
from support.records import revocation

WEB, DB = "spiffe://example.org/ns/shop/sa/web", "spiffe://example.org/ns/shop/sa/db"
TTL = 86400


def issued(serial, uid="web", spiffe_id=WEB, expires=1000, chain=""):
    return Issued(
        serial=serial, uid=uid, spiffe_id=spiffe_id, issued=0, expires=expires, chain=chain
    )


def test_nothing_is_revoked_at_first():
    assert Ledger([issued("0a")]).revoked([], 10) == ()


def test_a_serial_is_revoked_by_its_record_also_when_it_is_not_ours():
    ledger = Ledger([issued("0a"), issued("0b", "web-1")])
    revocations = [revocation("one", serial="0a"), revocation("two", serial="ffff")]
    assert ledger.revoked(revocations, 10) == ("0a", "ffff")


def test_leading_zeros_of_a_serial_say_nothing():
    ledger = Ledger([issued("0a")])
    assert ledger.revoked([revocation("one", serial="00:0a")], 10) == ("0a",)


def test_a_serial_of_zeros_revokes_nothing():
    assert Ledger([issued("0a")]).revoked([revocation("one", serial="00")], 10) == ()


def test_an_identity_is_revoked_with_all_its_certificates_and_gets_no_new_one():
    ledger = Ledger([issued("0a"), issued("0b", "web-1"), issued("0c", "db", DB)])
    revocations = [revocation("web", spiffeId=WEB)]
    assert ledger.revoked(revocations, 10) == ("0a", "0b")
    assert barred(revocations) == {WEB}


def test_renewals_continue_a_chain_and_revoke_nothing():
    ledger = Ledger([issued("0a"), issued("0b", chain="0a"), issued("0c", chain="0a")])
    assert ledger.revoked([], 10) == ()
    assert ledger.find("0c").of_chain == ledger.find("0a").of_chain == "0a"
    assert ledger.find("0d") is None


def test_a_newcomer_ends_the_chain_before_and_that_of_nobody_else():
    ledger = Ledger([issued("0a"), issued("0b", chain="0a"), issued("0d", "db", DB)])
    ledger.add(issued("0c"))
    assert ledger.revoked([], 10) == ("0a", "0b")
    ledger.add(issued("0e", chain="0a"))
    assert ledger.revoked([], 10) == ("0a", "0b", "0e")


def test_a_chain_lives_on_when_what_began_it_has_expired():
    ledger = Ledger([issued("0a", expires=5), issued("0b", chain="0a")])
    ledger.prune(10)
    assert ledger.revoked([], 10) == ()
    assert Ledger(ledger.entries).revoked([], 10) == ()
    ledger.add(issued("0c", chain="0a"))
    assert ledger.revoked([], 10) == ()


def test_what_has_expired_is_neither_counted_nor_kept():
    ledger = Ledger([issued("0a", expires=5), issued("0b"), issued("0c", chain="0b")])
    assert ledger.revoked([revocation("web", spiffeId=WEB)], 10) == ("0b", "0c")
    assert ledger.revoked([], 10) == ()
    assert ledger.prune(10) == 1
    assert [entry.serial for entry in ledger.entries] == ["0b", "0c"]


def test_a_rate_allows_its_burst_and_then_its_average():
    rate = Rate(per_second=2.0, burst=3)
    assert [rate.allow(10.0) for _ in range(4)] == [True, True, True, False]
    assert [rate.allow(10.5), rate.allow(10.5)] == [True, False]
    assert [rate.allow(1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_gives_nothing_away():
    rate = Rate(per_second=1.0, burst=1)
    assert rate.allow(100.0)
    assert not rate.allow(50.0)


def root(name, phase, since=0, expires=ROOT_LIFE):
    return Root(name=name, phase=phase, since=since, expires=expires)


SIGNING = root("a", Phase.SIGNING)


def test_the_first_root_signs_at_once():
    assert advance((), 0, TTL).make is Phase.SIGNING


def test_a_root_in_its_prime_is_left_alone():
    advice = advance((SIGNING,), 1000, TTL)
    assert advice.roots == (SIGNING,)
    assert (advice.make, advice.drop) == (None, ())


@pytest.mark.parametrize(("now", "wanted"), [(1000, True), (ROOT_LIFE - RENEW_BEFORE + 1, False)])
def test_a_successor_is_made_when_asked_for_and_when_it_is_time(now, wanted):
    assert advance((SIGNING,), now, TTL, wanted=wanted).make is Phase.NEXT


def test_there_is_one_successor_at_a_time():
    assert advance((SIGNING, root("b", Phase.NEXT)), 1000, TTL, wanted=True).make is None


def test_a_successor_signs_only_after_everyone_had_time_to_trust_it():
    roots = (SIGNING, root("b", Phase.NEXT, since=1000))
    assert advance(roots, 1000 + OVERLAP - 1, TTL).roots == roots
    after = advance(roots, 1000 + OVERLAP, TTL).roots
    assert [(found.name, found.phase, found.since) for found in after] == [
        ("a", Phase.OLD, 1000 + OVERLAP),
        ("b", Phase.SIGNING, 1000 + OVERLAP),
    ]


def test_nobody_waits_for_a_successor_when_the_signing_root_has_ended():
    roots = (root("a", Phase.SIGNING, expires=1001), root("b", Phase.NEXT, since=1000))
    assert advance(roots, 1000, TTL).roots == roots
    assert [found.phase for found in advance(roots, 1001, TTL).roots] == [Phase.OLD, Phase.SIGNING]


def test_who_asks_as_the_successor_begins_to_sign_gets_no_further_one():
    waiting = root("b", Phase.NEXT, since=1000)
    advice = advance((SIGNING, waiting), 1000 + OVERLAP, TTL, wanted=True)
    assert advice.make is None
    assert [each.phase for each in advice.roots] == [Phase.OLD, Phase.SIGNING]


def test_an_old_root_goes_when_nothing_signed_by_it_is_left():
    roots = (root("a", Phase.OLD, since=1000), root("b", Phase.SIGNING, since=1000))
    assert advance(roots, 1000 + TTL, TTL).roots == roots
    advice = advance(roots, 1001 + TTL, TTL)
    assert advice.roots == roots[1:]
    assert advice.drop == ("a",)
