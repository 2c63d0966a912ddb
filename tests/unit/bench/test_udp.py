"""The udp scenario: what its programs say, and how wireguard-go is told its settings."""

import json

import pytest

from benchlib.candidates import wireguard
from benchlib.errors import BenchError
from benchlib.scenarios.udp import arrived, echoes
from benchlib.tools import PEERS, Tools, required_version


def report(**total: float) -> str:
    return json.dumps({"end": {"sum": {"bits_per_second": 2e9, "lost_percent": 0.0, **total}}})


def test_bulk_is_what_arrived_of_what_was_sent() -> None:
    assert arrived(report(lost_percent=25.0)) == {"bulk": 1.5, "bulk_lost": 25.0}
    assert arrived(report()) == {"bulk": 2.0, "bulk_lost": 0.0}


def test_iperf3s_own_words_are_passed_on() -> None:
    with pytest.raises(BenchError, match="iperf3: unable to connect"):
        arrived(json.dumps({"error": "unable to connect"}))


def test_answers_are_counted_by_the_second_and_none_is_an_error() -> None:
    said = {"answered": 500, "lost": 2, "answered_per_second": 250.5}
    assert echoes(json.dumps(said)) == {"echoes": 250.5}
    with pytest.raises(BenchError, match="no datagram was answered, 64 were lost"):
        echoes(json.dumps({"answered": 0, "lost": 64, "answered_per_second": 0.0}))


def test_an_end_is_told_its_key_its_port_and_its_one_peer() -> None:
    said = wireguard.settings(b"\x01" * 32, b"\x02" * 32, "[fd00::2]:51820", "fd57::2")
    assert said == (
        "set=1\n"
        f"private_key={'01' * 32}\n"
        "listen_port=51820\n"
        f"public_key={'02' * 32}\n"
        "endpoint=[fd00::2]:51820\n"
        "replace_allowed_ips=true\n"
        "allowed_ip=fd57::2/128\n"
        "\n"
    )


def test_settings_that_are_not_taken_are_told_as_they_were_refused() -> None:
    assert wireguard.refusal("errno=0\n") is None
    assert wireguard.refusal("errno=-22\n") == "errno=-22"
    assert wireguard.refusal("") == "no answer"


def test_the_version_of_wireguard_go_is_that_of_its_module() -> None:
    module = (PEERS / "wireguard-go" / "go.mod").read_text()
    assert required_version(module, "golang.zx2c4.com/wireguard").startswith("0.0.0-")
    assert required_version(module, "golang.zx2c4.com/other") == "unknown"
    with pytest.raises(BenchError, match="hack/setup --bench"):
        Tools(PEERS, None).need_wireguard()
