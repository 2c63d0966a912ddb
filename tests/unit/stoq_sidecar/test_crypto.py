"""The crypto profile of a sidecar: its setting, the mesh's policy, and what peers require."""

import time

import pytest

from stoq import constants
from stoq.engine import CertificateAuthority, HybridKey, TlsContext
from stoq.registry import WorkloadEntry
from stoq.rules import CryptoRule
from stoq_sidecar.crypto import Crypto, dialled

CONTROL = constants.operator_spiffe_id("td")
NOW = int(time.time())
AUTHORITY = CertificateAuthority.create("td", NOW - 60, NOW + 3600)


class Watched:
    """A real context that remembers what was required of it."""

    def __init__(self, tls: TlsContext) -> None:
        self.tls = tls
        self.required: list[tuple[str, dict[str, str], str]] = []

    @property
    def profile(self) -> str:
        return self.profiles()[0]

    def profiles(self) -> tuple[str, str | None]:
        return self.tls.profiles()

    def set_profile(self, profile: str) -> None:
        self.tls.set_profile(profile)

    def set_required(
        self,
        everyone: str = "",
        dialled: dict[str, str] | None = None,
        except_for: str = "",
    ) -> None:
        self.tls.set_required(everyone, dialled or {}, except_for)
        self.required.append((everyone, dialled or {}, except_for))

    def certify(self) -> None:
        key = HybridKey.generate(self.profile)
        leaf = AUTHORITY.issue(key.csr(), "spiffe://td/ns/shop/sa/web", NOW, NOW + 600)
        self.tls.set_identity(key, leaf)


@pytest.fixture
def tls() -> Watched:
    return Watched(TlsContext(accept_other_degree=True))


def entry(uid: str, account: str, crypto: str = "") -> WorkloadEntry:
    return WorkloadEntry(
        uid=uid, name=uid, namespace="shop", spiffe_id=f"spiffe://td/ns/shop/sa/{account}",
        addresses=(), crypto=crypto,
    )  # fmt: skip


def rule(profile: str, mode: str = "prefer", policy: str = "shop/p") -> CryptoRule:
    return CryptoRule(profile=profile, mode=mode, policy=policy)


def test_without_a_policy_the_setting_holds_and_nothing_is_required(tls: Watched) -> None:
    crypto = Crypto(tls, CONTROL)
    tls.certify()
    assert not crypto.follow(None, [entry("db", "db")])
    assert (tls.profile, tls.required, crypto.due) == ("hybrid-1024", [], False)
    assert crypto.describe() == {"policy": None, "profile": "hybrid-1024"}


def test_a_preferred_profile_is_that_of_the_next_identity(tls: Watched) -> None:
    crypto = Crypto(tls, CONTROL)
    tls.certify()
    assert not crypto.follow(rule("hybrid-512"), [])
    assert crypto.due
    assert not crypto.refused
    assert crypto.describe()["profile"] == "hybrid-1024"
    tls.certify()
    assert not crypto.due
    assert crypto.describe()["profile"] == "hybrid-512"
    crypto.follow(None, [])
    assert tls.profile == "hybrid-1024"


def test_a_required_profile_binds_every_peer_but_the_control_plane(tls: Watched) -> None:
    crypto = Crypto(tls, CONTROL)
    tls.certify()
    assert crypto.follow(rule("hybrid-512", "require"), [])
    assert tls.required == [("hybrid-512", {}, CONTROL)]
    assert crypto.refused
    tls.certify()
    assert not crypto.refused
    assert not crypto.follow(rule("hybrid-512", "require"), [])
    assert crypto.follow(rule("hybrid-512"), [])
    assert tls.required[-1] == ("", {}, CONTROL)


def test_what_destinations_require_is_held_to_by_identity(tls: Watched) -> None:
    crypto = Crypto(tls, CONTROL)
    peers = [entry("db-0", "db", "hybrid-512"), entry("web-0", "web")]
    assert crypto.follow(None, peers)
    assert tls.required == [("", {"spiffe://td/ns/shop/sa/db": "hybrid-512"}, CONTROL)]
    assert not crypto.follow(None, list(reversed(peers)))
    assert crypto.follow(None, [])


def test_pods_of_one_identity_that_require_different_things_speak_for_themselves() -> None:
    odd = [entry("a", "db", "hybrid-512"), entry("b", "db"), entry("c", "db", "hybrid-512")]
    assert dialled(odd) == {}
    assert dialled(odd[::2]) == {"spiffe://td/ns/shop/sa/db": "hybrid-512"}


def test_a_profile_of_a_later_release_leaves_ours_and_lets_nobody_in_where_it_is_required(
    tls: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    crypto = Crypto(tls, CONTROL)
    tls.certify()
    crypto.follow(rule("ml-dsa-65", "require"), [])
    assert "shop/p: the crypto profile stays hybrid-1024: profile: " in caplog.text
    assert tls.required == [("ml-dsa-65", {}, CONTROL)]
    assert not crypto.due


def test_no_policy_leads_to_classical_or_back(caplog: pytest.LogCaptureFixture) -> None:
    tls = Watched(TlsContext(accept_other_degree=True))
    Crypto(tls, CONTROL).follow(rule("classical"), [])
    assert tls.profile == "hybrid-1024"
    assert "resists no quantum computer" in caplog.text
    interop = Watched(TlsContext(profile="classical", allow_classical=True))
    Crypto(interop, CONTROL).follow(rule("hybrid-1024"), [])
    assert interop.profile == "classical"
    assert "interoperability tests and keeps it" in caplog.text


def test_what_is_required_of_no_spiffe_id_is_named() -> None:
    tls = TlsContext()
    with pytest.raises(ValueError, match=r'^dialled\["db"\]: '):
        tls.set_required(dialled={"db": "hybrid-512"})
    with pytest.raises(ValueError, match=r"^except_for: "):
        tls.set_required(except_for="db")
