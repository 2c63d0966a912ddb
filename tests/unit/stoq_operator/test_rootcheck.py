"""Which roots are put in force, and what is said of those that are not."""

from dataclasses import dataclass

import pytest
from cryptography import x509

from stoq import pem
from stoq.engine import CertificateAuthority, HybridKey
from stoq.records.mesh import RootsReason
from stoq_operator.ca import Ca
from stoq_operator.kept import KeptRoot, RootsRefused, StateError
from stoq_operator.rootfiles import unpack
from stoq_operator.rotation import RENEW_BEFORE, Phase, Root
from stoq_reference.certificate import ALT_PUBLIC_KEY
from support import forge
from support.records import TRUST_DOMAIN

PROFILE = "hybrid-512"
NOW = 1_800_000_000
DAY = 86400
YEAR = 365 * DAY
KEY = HybridKey.generate(PROFILE).to_bytes()


@dataclass
class Made:
    """A root that somebody makes."""

    name: str = "own"
    phase: Phase = Phase.SIGNING
    begins: int = NOW - DAY
    ends: int = NOW + 5 * YEAR
    trust_domain: str = TRUST_DOMAIN

    @property
    def kept(self) -> KeptRoot:
        found = CertificateAuthority.create(self.trust_domain, self.begins, self.ends, PROFILE)
        root = Root(name=self.name, phase=self.phase, since=self.begins, expires=self.ends)
        return KeptRoot(root=root, key=found.key.to_bytes(), certificate=found.root)


def ca() -> Ca:
    return Ca(TRUST_DOMAIN, PROFILE)


def refusal(*kept: KeptRoot, now: int = NOW) -> tuple[str, str]:
    """The reason, and what people are told."""
    with pytest.raises(RootsRefused) as raised:
        ca().use(kept, now)
    return raised.value.problem


def forged(**changes: object) -> KeptRoot:
    """One whose certificate breaks a rule; it comes with a key, which is looked at last."""
    certificate = forge.root(forge.Pair.generate(), TRUST_DOMAIN, **changes)
    root = Root(name="own", phase=Phase.SIGNING, since=NOW, expires=NOW + YEAR)
    return KeptRoot(root=root, key=KEY, certificate=certificate)


def lacking(*extensions: x509.ObjectIdentifier) -> frozenset[x509.ObjectIdentifier]:
    return frozenset((x509.ExtendedKeyUsage.oid, *extensions))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"authority": False}, "its BasicConstraints have cA FALSE"),
        ({"left_out": lacking(x509.BasicConstraints.oid)}, "it has no BasicConstraints"),
        (
            {"usage": forge.key_usage(signs=True, revokes=True)},
            "its KeyUsage lacks keyCertSign",
        ),
        ({"left_out": lacking(x509.KeyUsage.oid)}, "it has no KeyUsage with keyCertSign"),
        ({"left_out": lacking(ALT_PUBLIC_KEY)}, "it has no SubjectAltPublicKeyInfo"),
        ({"issuer_name": x509.Name([])}, "it was issued by another authority"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_certificate_that_is_no_root_is_refused_by_the_field_that_says_so(changes, says):
    reason, text = refusal(forged(**changes))
    assert reason == RootsReason.REFUSED
    assert says in text


def test_a_brought_certificate_that_may_not_sign_is_not_told_that_it_is_no_leaf():
    kept = forged(authority=False, usage=forge.key_usage(signs=False, certifies=True))
    files = {"own.key": KEY, "own.crt": pem.encode(kept.certificate)}
    with pytest.raises(StateError, match=r"a/own\.crt: its BasicConstraints have cA FALSE"):
        unpack(files, "a")


def test_a_key_that_is_not_the_certificates_or_none_at_all_is_refused():
    kept = Made().kept
    assert "the key does not belong to it" in refusal(with_key(kept, KEY))[1]
    assert "the key of root own: " in refusal(with_key(kept, b"junk"))[1]


def test_another_key_is_refused_also_for_a_certificate_that_is_in_force():
    found, kept = ca(), Made().kept
    found.use((kept,), NOW)
    with pytest.raises(RootsRefused, match="the key does not belong to it"):
        found.use((with_key(kept, KEY),), NOW)


def with_key(kept: KeptRoot, key: bytes) -> KeptRoot:
    return KeptRoot(root=kept.root, key=key, certificate=kept.certificate)


def test_a_root_of_another_trust_domain_is_refused_with_both_names():
    reason, text = refusal(Made(trust_domain="other.org").kept)
    assert reason == RootsReason.FOREIGN
    assert "spiffe://other.org, the mesh is spiffe://example.org" in text


def test_a_root_that_has_ended_is_refused_with_its_last_second():
    reason, text = refusal(Made(ends=NOW).kept)
    assert reason == RootsReason.EXPIRED
    assert "root own ended on 2027-01-15T08:00:00Z (notAfter)" in text


def test_a_root_that_begins_later_is_refused_until_it_does():
    kept = Made(begins=NOW + 60).kept
    reason, text = refusal(kept)
    assert reason == RootsReason.EARLY
    assert "root own begins on 2027-01-15T08:01:00Z (notBefore)" in text
    assert ca().use((kept,), NOW + 60)


def test_one_root_signs_and_no_more():
    text = "roots.json has 2 roots in phase signing"
    assert text in refusal(Made("a").kept, Made("b").kept)[1]
    assert "has 0 roots in phase signing" in refusal(Made(phase=Phase.OLD).kept)[1]


def test_an_old_root_may_have_ended():
    """Certificates that it signed ended before it did, so nobody is hurt by its being there."""
    assert ca().use((Made("a").kept, Made("b", Phase.OLD, ends=NOW - 1).kept), NOW)


def test_a_root_that_has_ended_makes_way_for_the_one_that_waits_at_once():
    found = ca()
    waiting = Made("b", Phase.NEXT, begins=NOW - 60).kept
    found.use((Made("a", ends=NOW).kept, waiting), NOW)
    assert not found.signs(NOW)
    found.use(found.advanced(NOW, DAY, wanted=False), NOW)
    assert found.signs(NOW)
    assert [(root.name, root.phase) for root in found.roots] == [("a", "old"), ("b", "signing")]


def test_a_successor_that_has_ended_is_no_successor():
    reason, text = refusal(Made("a").kept, Made("b", Phase.NEXT, ends=NOW - 1).kept)
    assert reason == RootsReason.EXPIRED
    assert "root b ended" in text


def test_refused_roots_leave_those_before_in_force_also_when_these_have_ended_meanwhile():
    found = ca()
    good = Made(ends=NOW + DAY).kept
    found.use((good,), NOW)
    with pytest.raises(RootsRefused):
        found.use((Made(trust_domain="other.org").kept,), NOW + 1)
    assert found.roots == (good.root,)
    assert not found.use((good,), NOW + 2 * DAY)


def reasons(kept: KeptRoot, profile: str = PROFILE) -> list[str]:
    found = Ca(TRUST_DOMAIN, profile)
    found.use((kept,), NOW)
    return [notice.reason for notice in found.notices(NOW)]


def test_a_root_in_its_last_year_is_told_of_when_its_rotation_is_due():
    assert reasons(Made(ends=NOW + RENEW_BEFORE).kept) == []
    assert reasons(Made(ends=NOW + RENEW_BEFORE - 1).kept) == ["RootEndsSoon"]


def test_a_root_of_the_other_profile_is_used_and_told_of():
    assert reasons(Made().kept, "hybrid-1024") == ["RootOfAnotherProfile"]
