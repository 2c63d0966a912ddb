"""Settings of the webhook: their defaults, and what is refused."""

import pytest

from stoq.injection.config import Config
from stoq.settings.options import SettingsError, dump
from stoq_operator.webhook.main import main
from stoq_operator.webhook.settings import read

IMAGES = {"STOQ_INJECT_SIDECAR_IMAGE": "s", "STOQ_INJECT_INIT_IMAGE": "i"}


def test_the_defaults_are_those_of_injection() -> None:
    assert read(IMAGES).config == Config(sidecar_image="s", init_image="i")


def test_the_defaults_stay_what_they_are() -> None:
    assert dump(read(IMAGES)) == {
        "listen": {"address": "[::]:14443", "pages": "[::]:14021"},
        "inject": {
            "sidecar_image": "s",
            "init_image": "i",
            "pull_policy": "IfNotPresent",
            "trust_domain": "cluster.local",
            "profile": "hybrid-1024",
            "control_address": "stoq-operator.stoq-system.svc:14012",
            "capture": "init",
            "capture_udp": "false",
            "ipv6_only": "false",
            "discovery_signed": "prefer",
            "log_level": "info",
            "log_format": "json",
            "log_access": "json",
            "cpu_request": "10m",
            "memory_request": "64Mi",
            "cpu_limit": "",
            "memory_limit": "",
        },
        "log": {"level": "info", "format": "text"},
    }


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("STOQ_INJECT_SIDECAR_IMAGE", "", "is empty and has no default"),
        ("STOQ_INJECT_CPU_REQUEST", "lots", "a Kubernetes quantity"),
        ("STOQ_INJECT_MEMORY_LIMIT", "1Ki", "memory request is 64Mi, above its limit 1Ki"),
        ("STOQ_INJECT_TRUST_DOMAIN", "A B", "trust domain"),
        ("STOQ_INJECT_PROFILE", "classical", "one of hybrid-1024, hybrid-512"),
        ("STOQ_INJECT_PULL_POLICY", "always", "one of Always, IfNotPresent, Never"),
        ("STOQ_INJECT_DISCOVERY_SIGNED", "yes", "one of prefer, require"),
        ("STOQ_INJECT_COLOUR", "red", "is unknown"),
    ],
)
def test_a_setting_that_can_not_be_used_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read(IMAGES | {variable: value})


def test_the_program_says_what_it_lacks_and_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STOQ_INJECT_INIT_IMAGE", raising=False)
    assert main([]) == 2
    assert "STOQ_INJECT_INIT_IMAGE is empty" in capsys.readouterr().err


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "STOQ_INJECT_SIDECAR_IMAGE" in capsys.readouterr().out
