"""The command lines of stoq-sidecar and stoq-gateway."""

import os
import sys

import pytest

from stoq_sidecar import __main__ as program
from stoq_sidecar import gateway

ENVIRONMENT = {
    "STOQ_POD_NAME": "web-0",
    "STOQ_POD_NAMESPACE": "shop",
    "STOQ_CONTROL_ADDRESS": "[fd00::9]:14012",
}


def test_check_shows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--check"], ENVIRONMENT) == 0
    assert "pod.name = web-0\n" in capsys.readouterr().out


def test_a_gateway_is_the_same_program_that_captures_nothing_whatever_it_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", ENVIRONMENT | {"STOQ_CAPTURE_MODE": "init"})
    monkeypatch.setattr(sys, "argv", ["stoq-gateway", "--check"])
    with pytest.raises(SystemExit) as ended:
        gateway.main()
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for line in ("gateway.enabled = true", "capture.mode = none", "dns.enabled = false"):
        assert f"{line}\n" in out
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(SystemExit) as ended:
        gateway.main()
    assert ended.value.code == 2
    assert "stoq-gateway: STOQ_POD_NAME is empty" in capsys.readouterr().err


def test_bad_settings_end_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run([], {}) == 2
    assert "STOQ_POD_NAME is empty and has no default" in capsys.readouterr().err
    assert program.run([], ENVIRONMENT | {"STOQ_X": "1"}) == 2
    assert "stoq-sidecar: STOQ_X is unknown" in capsys.readouterr().err


def test_variables_are_listed_with_default_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--variables"], {}) == 0
    out = capsys.readouterr().out
    assert "STOQ_SHUTDOWN_DRAIN_SECONDS=2.0\n    a number from 0 to 300 seconds; " in out


def test_help_has_examples_and_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.run(["--help"], {})
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "kill -HUP" in out
    assert "exit status: 0" in out
