"""stoq-init without a kernel: its command line, settings and what it prints."""

from pathlib import Path

import pytest

from stoq.capture import nft, routes
from stoq_sidecar import init


def test_print_shows_the_rules_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS": "443"}
    assert init.run(["--print"], environment) == 0
    assert "tcp dport { 443 }" in capsys.readouterr().out


def test_the_name_servers_come_from_resolv_conf(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 10.96.0.10\n")
    environment = {"STOQ_DNS_RESOLV_CONF": str(file)}
    assert init.run(["--print"], environment) == 0
    assert "ip daddr { 10.96.0.10 } udp dport 53" in capsys.readouterr().out
    assert init.run(["--print"], environment | {"STOQ_DNS_ENABLED": "false"}) == 0
    assert "dport 53 " not in capsys.readouterr().out
    assert init.run(["--print"], {"STOQ_DNS_RESOLV_CONF": str(tmp_path)}) == 2


def test_the_node_probes_the_application_itself(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {
        "STOQ_CAPTURE_PROBE_PORTS": "8080",
        "STOQ_POD_HOST_ADDRESSES": "fd00::10,10.0.0.16",
        "STOQ_DNS_ENABLED": "false",
    }
    assert init.run(["--print"], environment) == 0
    shown = capsys.readouterr().out
    for origin in ("ip6 saddr { fd00::10", "ip saddr { 10.0.0.16"):
        (rule,) = [line for line in shown.splitlines() if origin in line]
        assert "tcp dport { 8080 } counter return" in rule


def test_bad_settings_end_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert init.run([], {"STOQ_CAPTURE_MODE": "magic"}) == 2
    assert "STOQ_CAPTURE_MODE is 'magic'" in capsys.readouterr().err


def test_nfts_failure_ends_with_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for arguments in ([], ["--verify"], ["--undo"]):
        assert init.run(arguments, {}) == 1
        assert "install the package 'nftables'" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        init.run(["--help"], {})
    assert ended.value.code == 0
    assert "stoq-init --undo" in capsys.readouterr().out


def test_actions_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        init.run(["--undo", "--verify"], {})
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "answer", "status", "words"),
    [
        ([], True, 0, "in force"),
        ([], False, 0, "in force already"),
        (["--undo"], True, 0, "removed"),
        (["--undo"], False, 0, "no capture to remove"),
        (["--verify"], [], 0, "in force"),
        (["--verify"], ["chain guard is missing"], 1, "chain guard is missing"),
    ],
)
def test_the_outcome_is_said_and_the_status_fits(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    answer: object,
    status: int,
    words: str,
) -> None:
    for name in ("apply", "undo", "verify"):
        monkeypatch.setattr(nft, name, lambda *_: answer)
    for name, found in (("add", False), ("prune", False), ("verify", [])):
        monkeypatch.setattr(routes, name, lambda *_, found=found: found)
    assert init.run(arguments, {}) == status
    assert words in capsys.readouterr().err
