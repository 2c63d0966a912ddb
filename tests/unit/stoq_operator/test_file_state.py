"""What the embedded control process keeps in its state directory."""

import msgspec
import pytest

from stoq.engine import HybridKey
from stoq.records.mesh import MeshConfigSpec
from stoq_operator.ca import Ca
from stoq_operator.filestate import FileRoots, FileVips
from stoq_operator.jointokens import JoinTokens
from stoq_operator.kept import Grant, StateError
from stoq_operator.rootfiles import unpack
from stoq_operator.state import StateDirectory
from stoq_operator.world import world
from support.records import TRUST_DOMAIN, by_key, revocation, service

WEB = "spiffe://example.org/ns/shop/sa/web"
NOW = 1_800_000_000
TTL = 3600


@pytest.fixture
def state(tmp_path):
    return StateDirectory(tmp_path / "state")


@pytest.fixture
async def roots(state):
    found = FileRoots(state)
    ca = Ca(TRUST_DOMAIN, "hybrid-512")
    await found.keep(ca.advanced(NOW, TTL, wanted=False))
    return found


async def test_roots_are_kept_where_only_their_owner_reads_them_and_found_again(roots, state):
    name = roots.roots[0].root.name
    for file in (f"ca/{name}.key", f"ca/{name}.crt", "ca/roots.json"):
        assert (state.path / file).stat().st_mode & 0o777 == 0o600
    assert FileRoots(state).roots == roots.roots


async def test_a_root_that_is_no_longer_kept_leaves_no_key_behind(roots, state):
    ca = Ca(TRUST_DOMAIN, "hybrid-512")
    await roots.keep(ca.advanced(NOW, TTL, wanted=False))
    assert [path.stem for path in (state.path / "ca").glob("*.key")] == [roots.roots[0].root.name]
    assert len(list((state.path / "ca").iterdir())) == 3


async def test_a_rotation_is_asked_for_by_a_file_and_answered(roots, state):
    assert not roots.rotation_wanted
    state.write("ca/rotate", b"")
    assert roots.rotation_wanted
    await roots.keep(roots.roots)
    assert not roots.rotation_wanted


def broken(state, name, content):
    path = next(iter((state.path / "ca").glob(name)))
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(StateError) as raised:
        Ca(TRUST_DOMAIN, "hybrid-512").use(FileRoots(state).roots, NOW)
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
async def test_a_damaged_state_is_refused_with_the_way_out(roots, state, name, content, says):
    assert says in broken(state, name, content)


async def test_a_key_that_is_not_the_roots_is_refused(roots, state):
    other = HybridKey.generate("hybrid-512").to_bytes()
    assert "restore it" in broken(state, "*.key", other)


async def test_a_root_that_somebody_brought_signs_from_now_on(roots, state):
    (state.path / "ca" / "roots.json").unlink()
    (found,) = FileRoots(state).roots
    assert found.root.phase == "signing"
    assert found.root.expires == roots.roots[0].root.expires


async def test_of_two_keys_somebody_must_say_which_signs(roots, state):
    (state.path / "ca" / "roots.json").unlink()
    state.write("ca/other.key", b"x")
    with pytest.raises(StateError, match="which of them signs"):
        FileRoots(state)


def test_a_brought_root_that_is_no_certificate_of_ours_is_refused():
    text = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(StateError, match="bring a hybrid root"):
        unpack({"a.key": b"x", "a.crt": text}, "Secret stoq-system/stoq-ca")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"ca.pem": b"x", "ca-key.pem": b"x"}, "has ca-key.pem, ca.pem and no key: name a root's"),
        ({"mesh.crt": b"x"}, "has mesh.crt and no key"),
        ({"roots.json": b"[]"}, "names no root"),
    ],
)
def test_what_somebody_brought_is_no_room_for_a_root_of_our_own(files, says):
    with pytest.raises(StateError, match=says):
        unpack(files, "Secret stoq-system/stoq-ca")


def signed(tokens, uid, serial, ttl=TTL):
    tokens.signed(Grant(uid=uid, spiffe_id=WEB), serial, NOW, NOW + ttl)


def test_the_ledger_is_found_again_and_knows_what_an_identity_has(state):
    signed(JoinTokens(state), "web", "0aff")
    again = JoinTokens(state)
    assert [entry.uid for entry in again.issued] == ["web"]
    assert again.revoked([revocation("web", spiffeId=WEB)], NOW).serials == ("0aff",)


def test_a_line_cut_off_by_a_crash_is_skipped_and_said(state, caplog):
    signed(JoinTokens(state), "web", "0aff")
    state.append("issued.jsonl", b'{"serial": "0')
    assert len(JoinTokens(state).issued) == 1
    assert "line 2 is unreadable" in caplog.text


def test_the_ledgers_file_is_shortened_when_most_of_it_has_expired(state):
    tokens = JoinTokens(state)
    for number in range(70):
        signed(tokens, f"web-{number}", f"{number:04x}", 10)
    signed(tokens, "last", "ffff")
    tokens.tidy(NOW + 11)
    lines = (state.path / "issued.jsonl").read_text().splitlines()
    assert [msgspec.json.decode(line)["uid"] for line in lines] == ["last"]


def test_virtual_addresses_are_remembered(state, caplog):
    found = world(by_key(service("web", "fd00::1")), MeshConfigSpec(trust_domain=TRUST_DOMAIN))
    given = FileVips(state).of(found)
    assert FileVips(state).of(found) == given
    (state.path / "vips.json").write_text("[")
    with pytest.raises(StateError, match="given anew"):
        FileVips(state)
