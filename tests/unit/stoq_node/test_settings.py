"""The defaults are promises, and settings that can not be are refused by name."""

import pytest

from stoq.settings.options import SettingsError, dump
from stoq_node.__main__ import main
from stoq_node.settings import read


def test_the_defaults() -> None:
    assert dump(read({})) == {
        "kernel": {"pins": "/sys/fs/bpf/stoq"},
        "pods": {"file": "/etc/stoq/pods.toml", "verify_seconds": "1.0"},
        "kubernetes": {"node": "", "nameservers": ""},
        "capture": {"namespaces": ""},
        "af_xdp": {"mode": "off"},
        "guard": {
            "mode": "auto",
            "interface": "",
            "source_per_second": "2000",
            "source_burst": "20000",
            "ceiling_per_second": "10000",
            "ceiling_burst": "40000",
            "allow": "",
            "deny": "",
        },
        "bypass": {"seconds": "10.0"},
        "listen": {"metrics": "[::]:14022"},
        "log": {"level": "info", "format": "text"},
    }
    assert read({}).guard.source == (2000, 20000)
    assert read({}).guard.ceiling == (10000, 40000)


def test_a_rate_of_nothing_is_no_limit() -> None:
    without = {"STOQ_GUARD_SOURCE_PER_SECOND": "0", "STOQ_GUARD_CEILING_PER_SECOND": "0"}
    guard = read(without).guard
    assert (guard.source, guard.ceiling) == (None, None)


def test_a_wrong_value_is_refused_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError, match="STOQ_GUARD_MODE is 'fast'.*auto, native, tc, generic"):
        read({"STOQ_GUARD_MODE": "fast"})
    monkeypatch.setenv("STOQ_GUARD_MODE", "fast")
    assert main(["run"]) == 2
    assert "STOQ_GUARD_MODE is 'fast'" in capsys.readouterr().err
    monkeypatch.delenv("STOQ_GUARD_MODE")
    monkeypatch.setenv("STOQ_CONFIG_FILE", "/nowhere/node.toml")
    assert main(["run"]) == 2
    assert "/nowhere/node.toml" in capsys.readouterr().err


def test_all_options_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    said = capsys.readouterr().out
    assert "STOQ_GUARD_SOURCE_BURST (default 20000)" in said
    assert "STOQ_CONFIG_FILE" in said
