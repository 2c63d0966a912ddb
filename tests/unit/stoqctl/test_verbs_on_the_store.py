import json
import sys
import time
from pathlib import Path

import pytest
from yaml import safe_dump, safe_load

from stoq.records.documents import parse
from stoq.records.manifest import encode
from stoqctl.__main__ import main
from stoqctl.output import duration, size, until
from support.records import mesh, workload

WEB_ID = "spiffe://example.org/ns/shop/sa/web"


@pytest.fixture
def store(tmp_path):
    found = tmp_path / "store"
    found.mkdir()
    for item in (mesh(), workload("web", "fd00::2", joinTokenHash="ab" * 32)):
        (found / f"{item.metadata.name}.yaml").write_text(safe_dump(encode(item)))
    return found


def test_revoking_an_identity_adds_a_record_and_undoing_it_takes_it_away(store, stoqctl):
    before = sorted(store.iterdir())
    status, text = stoqctl("revoke", WEB_ID, "--store", store, "--reason", "lost")
    assert status == 0
    assert "is revoked by" in text
    (added,) = set(store.iterdir()) - set(before)
    (found,) = parse(added.read_text())
    assert (found.record.spec.spiffe_id, found.record.spec.reason) == (WEB_ID, "lost")
    assert "no longer revoked" in stoqctl("revoke", WEB_ID, "--store", store, "--undo")[1]
    assert "was not revoked" in stoqctl("revoke", WEB_ID, "--store", store, "--undo")[1]
    assert sorted(store.iterdir()) == before


def test_a_serial_is_revoked_however_it_is_written_and_only_once(store, stoqctl):
    answers = [
        json.loads(stoqctl("revoke", text, "--store", store, "--json")[1])
        for text in ("0a:FF", "0aff")
    ]
    assert [answer["changed"] for answer in answers] == [True, False]
    assert answers[0]["file"] == answers[1]["file"]
    assert safe_load(Path(answers[0]["file"]).read_text())["spec"] == {"serial": "0aff"}


@pytest.mark.parametrize("target", ["web", "spiffe://example.org", "0a0"])
def test_what_is_neither_serial_nor_identity_is_refused(store, stoqctl, target):
    status, text = stoqctl("revoke", target, "--store", store)
    assert status == 1
    assert "neither a serial number nor a SPIFFE id" in text


def test_a_store_that_is_none_is_refused(tmp_path, stoqctl):
    for verb in (("revoke", "0a"), ("records",)):
        status, text = stoqctl(*verb, "--store", tmp_path / "none")
        assert status == 1
        assert "is no directory" in text


def test_a_store_that_can_not_be_written_is_explained(store, stoqctl):
    name = json.loads(stoqctl("revoke", "0a", "--store", store, "--json")[1])["file"]
    stoqctl("revoke", "0a", "--store", store, "--undo")
    (store / name).mkdir()
    status, text = stoqctl("revoke", "0a", "--store", store)
    assert status == 1
    assert "Is a directory" in text


def test_records_of_the_store_are_listed_with_their_files(store, stoqctl):
    (store / "broken.yaml").write_text("kind: [")
    _, text = stoqctl("records", "--store", store)
    assert "web.yaml" in text
    assert "broken.yaml: line" in text
    found = json.loads(stoqctl("records", "--store", store, "--json")[1])
    assert {item["kind"] for item in found["records"]} == {"MeshConfig", "Workload"}
    assert list(found["problems"]) == ["broken.yaml"]


@pytest.fixture
def state(tmp_path):
    found = tmp_path / "state"
    (found / "ca").mkdir(parents=True)
    (found / "ca" / "a.key").touch(mode=0o600)
    found.chmod(0o700)
    return found


def test_certificates_that_are_out_are_listed_with_their_serials(state, stoqctl):
    entry = {"serial": "0a", "uid": "shop/web", "spiffe_id": WEB_ID, "issued": 1, "expires": 2}
    living = entry | {"serial": "0b", "expires": int(time.time()) + 7300}
    lines = [json.dumps(entry), json.dumps(living), '{"serial": "0']
    (state / "issued.jsonl").write_text("\n".join(lines))
    _, text = stoqctl("identity", "--state", state)
    assert "0b" in text
    assert "in 2 h" in text
    found = json.loads(stoqctl("identity", "--state", state, "--json")[1])
    assert found == {"certificates": [living]}


def test_a_state_without_ledger_is_explained(tmp_path, stoqctl):
    status, text = stoqctl("identity", "--state", tmp_path)
    assert status == 1
    assert "issued.jsonl" in text


def test_a_check_of_the_control_processes_directories(store, state, stoqctl):
    status, text = stoqctl("check", "--store", store, "--state", state)
    assert status == 0
    assert "every workload has one" in text


def test_a_check_finds_open_keys_missing_tokens_and_broken_manifests(store, state, stoqctl):
    (state / "ca" / "a.key").chmod(0o644)
    (store / "broken.yaml").write_text("kind: [")
    (store / "mesh.yaml").unlink()
    (store / "db.yaml").write_text(safe_dump(encode(workload("db", "fd00::3"))))
    status, text = stoqctl("check", "--store", store, "--state", state, "--json")
    assert status == 1
    failed = {item["name"] for item in json.loads(text)["checks"] if not item["ok"]}
    assert failed == {"manifest broken.yaml", "mesh configuration", "join tokens", "state"}


def test_a_state_that_is_not_there_fails_the_check(tmp_path, stoqctl):
    assert stoqctl("check", "--state", tmp_path / "none")[0] == 1


def test_the_program_prints_expected_errors_as_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stoqctl", "status", "--admin", "nonsense"])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 1
    assert capsys.readouterr().err.startswith("stoqctl: --admin 'nonsense'")


def test_every_verb_has_help_with_examples(stoqctl):
    for verb in ("status", "connections", "identity", "records", "revoke", "check"):
        status, text = stoqctl(verb, "--help")
        assert status == 0
        assert "Examples:" in text


def test_durations_and_sizes_read_well():
    assert [duration(s) for s in (5, 65, 3700, 90000)] == [
        "5 s",
        "1 min 5 s",
        "1 h 1 min",
        "1 d 1 h",
    ]
    assert [until(m, 100) for m in (0, 40, 160)] == ["never", "1 min 0 s ago", "in 1 min 0 s"]
    assert [size(n) for n in (5, 1500, 2 * 10**6, 3 * 10**9, 4 * 10**12)] == [
        "5 B",
        "1.5 kB",
        "2.0 MB",
        "3.0 GB",
        "4.0 TB",
    ]
