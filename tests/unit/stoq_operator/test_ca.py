import msgspec
import pytest

from stoq.engine import HybridKey, parse_certificate
from stoq.pem import certificates
from stoq_operator.ca import SKEW, Ca, bundle
from stoq_operator.rotation import OVERLAP, ROOT_LIFE
from stoq_operator.state import StateDirectory, StateError
from support.records import TRUST_DOMAIN, revocation

WEB = "spiffe://example.org/ns/shop/sa/web"
NOW = 1_800_000_000
TTL = 3600
CSR = HybridKey.generate("hybrid-512").csr()


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


def opened(state, trust_domain=TRUST_DOMAIN):
    return Ca(state, trust_domain, "hybrid-512")


@pytest.fixture
def ca(state):
    made = opened(state)
    assert made.advance(NOW, TTL)
    return made


def test_the_first_root_is_kept_where_only_its_owner_reads_it(ca, state):
    (root,) = ca.roots
    for name in (f"ca/{root.name}.key", f"ca/{root.name}.crt", "ca/roots.json"):
        assert (state.path / name).stat().st_mode & 0o777 == 0o600
    assert not ca.advance(NOW + 1, TTL)


def test_an_svid_says_what_was_attested_and_no_more(ca):
    svid = ca.sign(CSR, "web", WEB, TTL, NOW)
    found = parse_certificate(svid.certificate)
    assert (found.kind, found.spiffe_id, found.serial) == ("leaf", WEB, svid.serial)
    assert (found.not_before, found.not_after) == (NOW - SKEW, NOW + TTL)
    assert [entry.uid for entry in ca.issued] == ["web"]


def test_an_svid_never_outlives_its_root(ca):
    late = NOW + ROOT_LIFE - 2 * SKEW
    svid = ca.sign(CSR, "web", WEB, TTL, late)
    assert svid.expires == ca.roots[0].expires < late + TTL


def test_an_id_of_another_trust_domain_is_not_signed(ca):
    with pytest.raises(ValueError, match="other.org"):
        ca.sign(CSR, "web", "spiffe://other.org/ns/shop/sa/web", TTL, NOW)


def test_roots_and_ledger_are_found_again(ca, state):
    svid = ca.sign(CSR, "web", WEB, TTL, NOW)
    again = opened(state)
    assert again.roots == ca.roots
    assert again.trust([], NOW).roots == ca.trust([], NOW).roots
    assert again.trust([revocation("web", spiffeId=WEB)], NOW).revoked == (svid.serial,)


def test_a_line_cut_off_by_a_crash_is_skipped_and_said(ca, state, caplog):
    ca.sign(CSR, "web", WEB, TTL, NOW)
    state.append("issued.jsonl", b'{"serial": "0')
    assert len(opened(state).issued) == 1
    assert "line 2 is unreadable" in caplog.text


def test_the_ledgers_file_is_shortened_when_most_of_it_has_expired(ca, state):
    for number in range(70):
        ca.sign(CSR, f"web-{number}", WEB, 10, NOW)
    ca.sign(CSR, "last", WEB, TTL, NOW)
    ca.tidy(NOW + 11)
    lines = (state.path / "issued.jsonl").read_text().splitlines()
    assert [msgspec.json.decode(line)["uid"] for line in lines] == ["last"]


def test_a_root_is_rotated_with_overlap(ca, state):
    first = ca.trust([], NOW).roots[0]
    state.write("ca/rotate", b"")
    assert ca.advance(NOW + 1, TTL)
    assert state.read("ca/rotate") is None
    waiting = ca.trust([], NOW + 1).roots
    assert waiting[0] == first
    assert len(waiting) == 2

    assert ca.advance(NOW + 1 + OVERLAP, TTL)
    switched = ca.trust([], NOW + 1 + OVERLAP).roots
    assert switched == waiting[::-1]

    assert ca.advance(NOW + 2 + OVERLAP + TTL, TTL)
    assert ca.trust([], NOW + 2 + OVERLAP + TTL).roots == waiting[1:]
    assert len(list((state.path / "ca").glob("*.key"))) == 1


def test_the_bundle_names_its_trust_domain_and_has_every_root(ca):
    text = bundle(TRUST_DOMAIN, ca.trust([], NOW)).decode()
    assert "example.org" in text.splitlines()[0]
    assert certificates(text) == ca.trust([], NOW).roots


def broken(state, name, content):
    path = next(iter((state.path / "ca").glob(name)))
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(StateError) as raised:
        opened(state)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("*.key", None, "is missing"),
        ("*.key", b"junk", "restore it from a backup"),
        ("*.crt", b"junk", "restore it from a backup"),
        ("*.crt", b"\xff", "restore it from a backup"),
        ("roots.json", b"{", "restore it from a backup"),
    ],
)
def test_a_damaged_state_is_refused_with_the_way_out(ca, state, name, content, says):
    assert says in broken(state, name, content)


def test_a_key_that_is_not_the_roots_is_refused(ca, state):
    other = HybridKey.generate("hybrid-512").to_bytes()
    assert "restore it" in broken(state, "*.key", other)


def test_the_state_of_another_mesh_is_refused(ca, state):
    with pytest.raises(StateError, match="a new trust domain needs a new --state"):
        opened(state, "other.org")
