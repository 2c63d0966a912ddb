import pytest

from stoq.engine import HybridKey, parse_certificate
from stoq.pem import certificates
from stoq.registry import RevokedIdentity
from stoq_operator.ca import SKEW, Ca, bundle
from stoq_operator.kept import Revoked, StateError
from stoq_operator.rotation import OVERLAP, ROOT_LIFE
from support.records import TRUST_DOMAIN

WEB = "spiffe://example.org/ns/shop/sa/web"
NOW = 1_800_000_000
TTL = 3600
CSR = HybridKey.generate("hybrid-512").csr()


def authority(trust_domain=TRUST_DOMAIN):
    return Ca(trust_domain, "hybrid-512")


@pytest.fixture
def ca():
    made = authority()
    assert made.use(made.advanced(NOW, TTL, wanted=False), NOW)
    return made


def roots(ca):
    return ca.trust(Revoked()).roots


def test_a_root_is_in_force_once_it_is_kept_and_not_before():
    ca = authority()
    kept = ca.advanced(NOW, TTL, wanted=False)
    assert ca.roots == ()
    assert ca.use(kept, NOW)
    assert not ca.use(kept, NOW)
    assert ca.advanced(NOW + 1, TTL, wanted=False) == kept


def test_without_a_root_nothing_is_signed():
    with pytest.raises(StateError, match="no root to sign with yet"):
        authority().sign(CSR, WEB, TTL, NOW)


def test_an_svid_says_what_was_attested_and_no_more(ca):
    svid = ca.sign(CSR, WEB, TTL, NOW)
    found = parse_certificate(svid.certificate)
    assert (found.kind, found.spiffe_id, found.serial) == ("leaf", WEB, svid.serial)
    assert (found.not_before, found.not_after) == (NOW - SKEW, NOW + TTL)


def test_an_svid_that_follows_a_revocation_is_not_revoked_by_it(ca):
    since = NOW - SKEW // 2
    revoked = Revoked(
        identities=(
            RevokedIdentity(WEB, since - 60),
            RevokedIdentity(WEB, since),
            RevokedIdentity("spiffe://example.org/ns/shop/sa/db", NOW),
        )
    )
    svid = ca.sign(CSR, WEB, TTL, NOW, since=revoked.since(WEB))
    found = parse_certificate(svid.certificate)
    assert found.not_before == svid.begins == since
    early = ca.sign(CSR, WEB, TTL, since + 2 * SKEW, since=revoked.since(WEB))
    assert early.begins == since + SKEW


def test_an_svid_never_outlives_its_root(ca):
    late = NOW + ROOT_LIFE - 2 * SKEW
    svid = ca.sign(CSR, WEB, TTL, late)
    assert svid.expires == ca.roots[0].expires < late + TTL


def test_a_root_that_has_ended_signs_nothing(ca):
    with pytest.raises(StateError, match="the root has ended"):
        ca.sign(CSR, WEB, TTL, ca.roots[0].expires)


def test_an_id_of_another_trust_domain_is_not_signed(ca):
    with pytest.raises(ValueError, match="other.org"):
        ca.sign(CSR, "spiffe://other.org/ns/shop/sa/web", TTL, NOW)


def test_a_replica_that_takes_over_the_roots_signs_for_the_same_mesh(ca):
    other = authority()
    other.use(ca.advanced(NOW, TTL, wanted=False), NOW)
    assert roots(other) == roots(ca)
    assert parse_certificate(other.sign(CSR, WEB, TTL, NOW).certificate).spiffe_id == WEB


def test_a_root_is_rotated_with_overlap(ca):
    first = roots(ca)[0]
    ca.use(ca.advanced(NOW + 1, TTL, wanted=True), NOW + 1)
    waiting = roots(ca)
    assert waiting[0] == first
    assert len(waiting) == 2

    ca.use(ca.advanced(NOW + 1 + OVERLAP, TTL, wanted=False), NOW + 1 + OVERLAP)
    assert roots(ca) == waiting[::-1]

    ca.use(ca.advanced(NOW + 2 + OVERLAP + TTL, TTL, wanted=False), NOW + 2 + OVERLAP + TTL)
    assert roots(ca) == waiting[1:]


def test_the_bundle_names_its_trust_domain_and_has_every_root(ca):
    text = bundle(TRUST_DOMAIN, ca.trust(Revoked())).decode()
    assert "example.org" in text.splitlines()[0]
    assert certificates(text) == roots(ca)


def test_the_roots_of_another_mesh_are_refused_and_those_before_stay(ca):
    before = ca.roots
    other = authority("other.org")
    with pytest.raises(StateError, match="a new trust domain needs new roots"):
        ca.use(other.advanced(NOW, TTL, wanted=False), NOW)
    assert ca.roots == before


def test_a_roots_secrets_are_not_printed(ca):
    (kept,) = ca.advanced(NOW, TTL, wanted=False)
    assert repr(kept.key) not in repr(kept)
    assert ca.roots[0].name in repr(kept)
