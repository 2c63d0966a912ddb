"""How a sidecar that cannot run says so: nothing but a real start shows it."""

import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from lab import installation, netns, process
from lab.plan import Pod
from lab.state import State
from netns.laboratories import pods
from netns.sockets import listen
from stoq.capture import nft
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan

ENVIRONMENT = {
    "STOQ_POD_NAME": "client",
    "STOQ_POD_NAMESPACE": "demo",
    "STOQ_CONTROL_ADDRESS": "[fd00::9]:14012",
}


@pytest.fixture
def lab() -> Iterator[tuple[State, Pod]]:
    with pods("client", ipv4=False) as (layout, state):
        yield state, layout.pods[0]


def start(lab: tuple[State, Pod], **more: str) -> "subprocess.CompletedProcess[str]":
    state, pod = lab
    variables = {**installation.environment(state), **ENVIRONMENT, **more}
    return subprocess.run(
        [
            *netns.enter(pod.netns),
            *("env", *(f"{name}={value}" for name, value in variables.items())),
            *installation.as_sidecar(state, "stoq_sidecar"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_bad_settings_end_with_status_2_and_name_the_variable(lab: tuple[State, Pod]) -> None:
    done = start(lab, STOQ_DATA_WORKERS="many", STOQ_TYPO="1")
    assert done.returncode == 2
    assert "STOQ_DATA_WORKERS is 'many'; it must be a whole number from 0 to 64" in done.stderr
    assert "STOQ_TYPO is unknown" in done.stderr


def test_as_another_user_it_refuses_to_capture_itself(lab: tuple[State, Pod]) -> None:
    done = start(lab, STOQ_CAPTURE_SIDECAR_UID="4711")
    assert done.returncode == 1
    assert "running as uid 14008, but capture lets out uid 4711" in done.stderr


@pytest.mark.parametrize("port", [14000, 14001, 14020])
def test_a_port_that_a_container_took_is_named(lab: tuple[State, Pod], port: int) -> None:
    with listen(lab[1].netns, port):
        done = start(lab)
    assert done.returncode == 1
    assert f"{port}" in done.stderr.splitlines()[-1]
    assert "cannot run" in done.stderr.splitlines()[-1]


def test_without_a_broker_node_mode_says_who_is_missing(lab: tuple[State, Pod]) -> None:
    done = start(lab, STOQ_CAPTURE_MODE="node", STOQ_CAPTURE_BROKER_SECONDS="1")
    assert done.returncode == 1
    assert "no sockets from the node agent: cannot ask the broker at @stoq-broker" in done.stderr


def test_the_settings_are_printed_whole_at_start(lab: tuple[State, Pod]) -> None:
    with listen(lab[1].netns, 14001):
        done = start(lab)
    assert "setting identity.token_file = /var/run/stoq/token" in done.stderr
    assert done.stderr.count(" setting ") > 30


def test_until_capture_is_in_force_the_pod_is_not_ready(lab: tuple[State, Pod]) -> None:
    state, pod = lab
    sidecar = process.start(
        state,
        "sidecar",
        installation.as_sidecar(state, "stoq_sidecar"),
        netns=pod.netns,
        environment={**installation.environment(state), **ENVIRONMENT},
    )
    missing = "has stoq-init (or the node agent) run in this pod?"
    sidecar.wait_until("blocked", lambda: missing in sidecar.log.read_text())
    assert "capture works" not in sidecar.log.read_text()
    run_in(f"/run/netns/{pod.netns}", partial(nft.apply, Plan()))
    sidecar.wait_until("captured", lambda: "capture works" in sidecar.log.read_text())


def test_a_pod_without_ipv6_is_served_on_ipv4(lab: tuple[State, Pod]) -> None:
    state, pod = lab
    off = "net.ipv6.conf.all.disable_ipv6=1"
    subprocess.run([*netns.enter(pod.netns), "sysctl", "-qw", off], check=True)
    run_in(f"/run/netns/{pod.netns}", partial(nft.apply, Plan()))
    sidecar = process.start(
        state,
        "sidecar",
        installation.as_sidecar(state, "stoq_sidecar"),
        netns=pod.netns,
        environment={**installation.environment(state), **ENVIRONMENT},
    )
    sidecar.wait_until("captured", lambda: "capture works" in sidecar.log.read_text())
    url = "http://127.0.0.1:14000/config"
    assert '"listen": "0.0.0.0:14008"' in netns.run_in(pod.netns, ["curl", "-s", url])
