import pytest

from stoq.api.stream import Peer
from stoq.signing import MAX_CSR, SignRequest, binding, token_hash
from stoq_operator.attest import Refusal, Refused, attest, holders
from support.records import TRUST_DOMAIN, workload

EXPORTER = b"e" * 32
WEB_TOKEN, DB_TOKEN = "w" * 40, "d" * 40
WEB = workload("web", "fd00::2", joinTokenHash=token_hash(WEB_TOKEN))
DB = workload("db", "fd00::3", joinTokenHash=token_hash(DB_TOKEN))
PLAIN = workload("plain", "fd00::4")
WEB_ID = "spiffe://example.org/ns/shop/sa/web"


def request(token=WEB_TOKEN, *, bound_to=EXPORTER, **fields):
    values = {"csr": b"csr", "token": token, "binding": binding(token, bound_to)}
    return SignRequest(**values | fields)


def attested(asked, *, peer=None, barred=frozenset(), workloads=(WEB, DB, PLAIN)):
    return attest(asked, EXPORTER, peer, holders(workloads), TRUST_DOMAIN, barred)


def refusal(asked, **options):
    with pytest.raises(Refused) as raised:
        attested(asked, **options)
    return raised.value.reason, str(raised.value)


def test_the_holder_of_a_token_is_the_workload_that_the_token_belongs_to():
    assert attested(request()) is WEB
    assert attested(request(DB_TOKEN)) is DB


def test_a_caller_may_say_who_it_is_when_that_is_true():
    assert attested(request(workload="shop/web", spiffe_id=WEB_ID)) is WEB


def test_a_renewal_comes_with_the_workloads_own_certificate():
    assert attested(request(), peer=Peer(WEB_ID)) is WEB


def test_a_token_of_nobody_is_refused():
    reason, text = refusal(request("x" * 40))
    assert reason is Refusal.TOKEN
    assert "join-token" in text
    assert "x" * 40 not in text


@pytest.mark.parametrize("token", ["", "short", "x" * 9000])
def test_a_token_of_impossible_length_is_refused(token):
    assert refusal(request(token))[0] is Refusal.TOKEN


def test_a_token_that_two_workloads_have_is_refused():
    twin = workload("twin", "fd00::9", joinTokenHash=token_hash(WEB_TOKEN))
    reason, text = refusal(request(), workloads=(WEB, twin))
    assert reason is Refusal.TOKEN
    assert "Workload shop/twin" in text


def test_a_workload_without_token_can_not_be_claimed_by_an_empty_one():
    assert refusal(request(""), workloads=(PLAIN,))[0] is Refusal.TOKEN


def test_a_token_bound_to_another_connection_is_refused():
    assert refusal(request(bound_to=b"o" * 32))[0] is Refusal.BINDING
    assert refusal(request(binding=b""))[0] is Refusal.BINDING


@pytest.mark.parametrize(
    "claim", [{"workload": "shop/db"}, {"spiffe_id": "spiffe://example.org/ns/shop/sa/db"}]
)
def test_a_workload_that_asks_for_another_ones_identity_is_refused(claim):
    reason, text = refusal(request(**claim))
    assert reason is Refusal.IDENTITY
    assert "shop/web" in text


def test_a_certified_peer_can_not_use_the_token_of_another():
    reason, _ = refusal(request(), peer=Peer("spiffe://example.org/ns/shop/sa/db"))
    assert reason is Refusal.IDENTITY


def test_a_revoked_identity_gets_no_certificate():
    reason, text = refusal(request(), barred=frozenset({WEB_ID}))
    assert reason is Refusal.REVOKED
    assert "Revocation" in text


def test_an_oversize_request_is_refused_before_anything_else():
    assert refusal(request(csr=bytes(MAX_CSR + 1)))[0] is Refusal.REQUEST


def test_workloads_without_a_token_are_nobodys():
    assert holders((WEB, PLAIN)) == {token_hash(WEB_TOKEN): (WEB,)}
