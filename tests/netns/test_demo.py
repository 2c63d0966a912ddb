"""The demonstration as a user runs it: its object, its exit status, its cleaning up."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.command import run

ROOT = Path(__file__).parents[2]


def _demo(
    lab_root: Path, *arguments: str, seconds: float = 110
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "hack"), "STOQ_LAB_ROOT": str(lab_root)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _namespaces() -> set[str]:
    return set(run(["ip", "netns", "list"]).stdout.split())


@pytest.fixture
def lab_root() -> Path:
    """A place that the sidecar's user can reach, which pytest's own folders are not."""
    return Path(f"/run/stoq-lab-test-{os.getpid()}")


@pytest.mark.timeout(300)
def test_it_prints_one_object_keeps_running_when_asked_and_goes_without_a_trace(
    lab_root: Path,
) -> None:
    asked = ("--json", "--keep", "--ebpf", "--pods", "3", "--mtu", "3000")
    done = _demo(lab_root, *asked, seconds=200)
    try:
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert told["ok"] is True
        made = [name for name in _namespaces() if name.startswith(f"stoq-{told['run']}-")]
        assert len(made) == 7, "three pods, the control process, two bystanders, the fabric"
        assert told["plaintext_packets"] == 0
        assert [check["name"] for check in told["checks"]][-7:] == [
            "strict mode in the kernel",
            "guard of the uplink",
            "joined by the kernel",
            "iperf3, one stream, joined",
            "parted by the kernel",
            "AF_XDP, lent by the agent",
            "capture removed, sidecar and agent killed",
        ]
        assert [row[0] for row in told["tables"][0]["rows"]] == [
            "through both sidecars, encrypted",
            "joined, in the clear",
        ]
        assert [check["name"] for check in told["checks"] if not check["ok"]] == []
        assert [pod["name"] for pod in told["pods"]] == ["server", "client", "client-2"]
        assert {c["round_trips"] for c in told["connections"]} == {1}
        assert {c["source"].rpartition("/")[2] for c in told["connections"]} >= {"client"}

        client, server = told["pods"][1], told["pods"][0]
        url = f"http://[{server['address']}]:8080/1000"
        body = run(["ip", "netns", "exec", client["netns"], "curl", "-sf", url]).stdout
        assert len(body) == 1000
        metrics = ["ip", "netns", "exec", client["netns"], "curl", "-sf", client["metrics_url"]]
        assert "stoq_" in run(metrics).stdout
    finally:
        down = _demo(lab_root, "--down")
    assert down.returncode == 0, down.stderr
    assert not [name for name in _namespaces() if name.startswith(f"stoq-{told['run']}-")]
    assert not lab_root.exists()


def test_down_without_anything_to_remove_says_so(lab_root: Path) -> None:
    done = _demo(lab_root, "--down")

    assert done.returncode == 0
    assert "nothing is left" in done.stderr


def _scenario(lab_root: Path, name: str) -> dict[str, Any]:
    done = _demo(lab_root, "--scenario", name, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["scenario"], told["ok"], told["plaintext_packets"]) == (name, True, 0)
    assert not lab_root.exists()
    return told


def test_an_object_arrives_whole_although_one_of_its_connections_ends(lab_root: Path) -> None:
    told = _scenario(lab_root, "shard")
    (table,) = told["tables"]
    fates = [row[-1] for row in table["rows"]]
    assert fates.count("there until the end") == 2
    assert sum(fate.startswith("ended after") for fate in fates) == 1
    assert "in place of the lost one" in fates
    assert sum(int(row[3]) for row in table["rows"]) == 96
    assert {pod["name"] for pod in told["pods"]} == {"sender", "receiver"}


def test_programs_over_udp_are_captured(lab_root: Path) -> None:
    told = _scenario(lab_root, "udp")
    assert [row[0] for row in told["tables"][0]["rows"]] == ["1.2 kB", "8 kB"]
    assert {check["name"] for check in told["checks"]} >= {"dig, AAAA", "source address"}


def test_a_shadow_hears_its_share_and_delays_nobody(lab_root: Path) -> None:
    told = _scenario(lab_root, "mirror")
    heard = [row[3] for row in told["tables"][0]["rows"]]
    assert (heard[0], *heard[2:]) == ("0", "40", "0")
    assert {check["name"] for check in told["checks"]} >= {"100 % mirrored", "shadow killed"}


def test_a_pod_without_a_route_is_reached_over_a_gateway(lab_root: Path) -> None:
    told = _scenario(lab_root, "hop")
    assert {check["name"] for check in told["checks"]} >= {"no route", "over the gateway"}
    ends = {c["destination"].rpartition("/")[2] for c in told["connections"]}
    assert ends == {"server", "gateway"}
