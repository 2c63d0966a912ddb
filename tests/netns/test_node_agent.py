"""The agent itself: what it finds, what it leaves behind, and what it does about faults."""

import json
import os
import sys
from collections.abc import Iterator
from signal import SIGKILL, SIGTERM, Signals

import pytest

from lab import command, netns, plan
from lab.node import Node
from lab.state import State
from netns.laboratories import pods
from netns.meshes import Echo, eventually
from netns.sockets import connect
from netns.witness import Witness
from stoq_node.capabilities import CAPTURES


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, Node, State]]:
    with pods("pod", "peer", "other") as (layout, state):
        yield layout, Node(layout, state), state


def dials(source: str, address: object, port: int = 8080) -> bool:
    try:
        with connect(source, address, port, timeout=1.0):
            return True
    except OSError:
        return False


def test_the_probe_says_what_this_kernel_can_do(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    interface = layout.pod("pod").port
    folder = {"STOQ_CAPTURE_NAMESPACES": "/run/netns"}
    done = node.run("probe", "--json", STOQ_GUARD_INTERFACE=interface, **folder)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["kernel"] == os.uname().release
    assert said["uplink"] == {"name": interface, "driver": "veth", "bus": ""}
    can = {one["name"]: one for one in said["capabilities"]}
    guards, capture = ["guard", "guard-tc", "guard-native"], list(CAPTURES)
    assert list(can) == ["pins", "strict", "account", *guards, *capture, "splice"]
    assert {name for name, one in can.items() if not one["supported"]} == {"guard-native"}, can
    assert f"{interface} is no network card" in can["guard-native"]["reason"]
    text = node.run("probe", STOQ_GUARD_INTERFACE=interface).stdout
    assert "strict          yes" in text
    assert "captured-udp" not in text, "nobody asks for it"


def test_without_rights_or_a_bpffs_every_no_has_its_reason(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, state = laboratory
    done = node.run("probe", "--json", STOQ_KERNEL_PINS=str(state.folder / "stoq"))
    reasons = {one["name"]: one["reason"] for one in json.loads(done.stdout)["capabilities"]}
    assert "not on a bpffs" in reasons["strict"]
    refused = node.run("run", STOQ_KERNEL_PINS=str(state.folder / "stoq"))
    assert refused.returncode == 1
    assert "not on a bpffs" in refused.stderr
    reasons = bounded(layout, node, "-net_admin,-bpf,-sys_admin")
    assert reasons["strict"] == "this process lacks CAP_BPF and CAP_NET_ADMIN"
    assert reasons["capture"].startswith("cannot make a network namespace")
    assert reasons["captured-udp"] == reasons["capture"]
    assert bounded(layout, node, "-net_admin")["capture"] == "capture takes CAP_NET_ADMIN"
    reasons = bounded(layout, node, "-net_raw")
    assert (reasons["capture"], reasons["client-address"]) == ("", "")
    assert "CAP_NET_RAW" in reasons["captured-udp"]


def bounded(layout: plan.Plan, node: Node, capabilities: str) -> dict[str, str]:
    """Why not, by capability, of an agent that has not all of the kernel's `capabilities`."""
    words = ["setpriv", f"--bounding-set={capabilities}", "--inh-caps=-all"]
    words += [sys.executable, "-m", "stoq_node", "probe", "--json"]
    capture = {"STOQ_CAPTURE_NAMESPACES": "/run/netns"}
    environment = [f"{name}={value}" for name, value in node.environment(**capture).items()]
    said = json.loads(netns.run_in(layout.fabric, ["env", *environment, *words]))
    return {one["name"]: one["reason"] for one in said["capabilities"]}


def test_three_capabilities_are_enough(laboratory: tuple[plan.Plan, Node, State]) -> None:
    layout, node, _ = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(pod)
    three = "-all,+bpf,+perfmon,+net_admin"
    node.start(
        {"STOQ_GUARD_INTERFACE": peer.port, "STOQ_GUARD_MODE": "auto"},
        under=["setpriv", f"--bounding-set={three}", f"--inh-caps={three}"],
    )
    assert node.metric("stoq_node_guard", mode="tc") == 1
    with Echo(peer):
        assert not dials(pod.netns, peer.ipv6)
    assert node.dropped(pod) > 0


def test_a_second_agent_is_refused_and_the_first_goes_on(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    node.strict(layout.pod("pod"))
    node.start()
    second = node.run("run", STOQ_LISTEN_METRICS="[::1]:14023")
    assert second.returncode == 1
    assert "another agent holds" in second.stderr
    assert node.page("/healthz/ready") == (200, "ready\n")


def test_a_link_that_is_made_anew_is_shut_before_it_carries_anything(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(pod)
    node.start()
    with Echo(peer), Witness(peer.netns) as witness:
        assert not dials(pod.netns, peer.ipv6)
        netns.run_in(layout.fabric, ["ip", "link", "delete", pod.port])
        assert eventually(lambda: node.metric("stoq_node_pods", state="waiting") == 1)
        netns.run_in(
            layout.fabric,
            [
                "ip",
                "link",
                "add",
                pod.port,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                pod.netns,
            ],
        )
        assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1)
        netns.run_in(layout.fabric, ["ip", "link", "set", pod.port, "master", "br0", "up"])
        netns.run_in(pod.netns, ["ip", "address", "add", f"{pod.ipv6}/64", "dev", "eth0", "nodad"])
        netns.run_in(pod.netns, ["ip", "link", "set", "eth0", "up"])
        assert not dials(pod.netns, peer.ipv6)
        assert not witness.tcp()
    assert node.dropped(pod) > 0
    assert node.metric("stoq_node_attachments_total", program="tc_strict") == 2


@pytest.mark.parametrize("end", [SIGTERM, SIGKILL])
def test_a_successor_takes_over_and_frees_what_is_no_more(
    laboratory: tuple[plan.Plan, Node, State], end: Signals
) -> None:
    layout, node, _ = laboratory
    pod, peer, other = (layout.pod(name) for name in ("pod", "peer", "other"))
    node.strict(pod, other)
    assert node.start().stop(number=end) == (0 if end == SIGTERM else -SIGKILL)
    # While no agent runs one pod is deleted, and one leaves the mesh: their pins are stale.
    netns.run_in(layout.fabric, ["ip", "link", "delete", other.port])
    pins = node.bpffs / "stoq" / "links"
    assert len(list(pins.iterdir())) == 8
    with Echo(peer):
        assert not dials(pod.netns, peer.ipv6)
        node.list()
        node.start()
        assert eventually(lambda: dials(pod.netns, peer.ipv6))
    assert eventually(lambda: not list(pins.iterdir()))


def test_what_is_in_force_holds_while_its_bpffs_is_exchanged_and_follows_to_the_new_one(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    place, links = str(node.bpffs), node.bpffs / "stoq" / "links"
    node.strict(pod)
    node.start({"STOQ_GUARD_INTERFACE": peer.port, "STOQ_GUARD_MODE": "auto"})
    with Echo(peer):
        # Unmounted by force: nothing can be pinned, and what was is in force.
        command.run(["umount", "-l", place])
        assert eventually(lambda: "no longer on a bpffs" in node.page("/healthz/ready")[1])
        assert not dials(pod.netns, peer.ipv6)
        command.run(["mount", "-t", "bpf", "bpf", place])
        assert eventually(lambda: node.page("/healthz/ready")[0] == 200)
        assert len(list(links.iterdir())) == 5
        assert not dials(pod.netns, peer.ipv6)

        # Another mounted over it.
        command.run(["mount", "-t", "bpf", "bpf", place])
        try:
            assert eventually(lambda: links.is_dir() and len(list(links.iterdir())) == 5)
            assert not dials(pod.netns, peer.ipv6)
            node.list(pod)
            assert eventually(lambda: dials(pod.netns, peer.ipv6)), "of the old pins none is left"
            assert node.metric("stoq_node_guard", mode="tc") == 1
        finally:
            command.run(["umount", "-l", place])


def test_pins_of_a_version_with_other_maps_are_left_behind_and_removed(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    stale = node.bpffs / "stoq" / "maps" / "tc_strict-0123456789abcdef"
    stale.mkdir(parents=True)
    node.strict(layout.pod("pod"))
    node.start()
    assert not stale.exists()


def test_permissions_that_do_not_fit_are_reported_and_shut_their_own_pod_only(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    pod, peer, other = (layout.pod(name) for name in ("pod", "peer", "other"))
    node.strict(pod, exclude_outbound_ports="1-17000")
    first = node.pods.read_text()
    node.strict(other, exclude_outbound_ports="8080")
    node.pods.write_text(first + node.pods.read_text())
    node.start(wait=False)
    assert eventually(lambda: node.page("/healthz/ready")[0] == 503)
    assert eventually(lambda: "strict_ports is full" in node.page("/healthz/ready")[1])
    with Echo(peer):
        assert not dials(pod.netns, peer.ipv6), "shut, although the port was to be excluded"
        assert eventually(lambda: dials(other.netns, peer.ipv6)), "who fits is not concerned"
    assert node.metric("stoq_node_pods", state="failed") == 1
    assert node.metric("stoq_node_pods", state="enforced") == 1


def test_a_pod_in_the_place_of_another_has_its_room_at_once(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    pod, peer, other = (layout.pod(name) for name in ("pod", "peer", "other"))
    node.strict(pod, exclude_outbound_ports="1-9000")
    node.start()
    node.strict(other, exclude_outbound_ports="1-9000")
    with Echo(peer):
        assert eventually(lambda: dials(other.netns, peer.ipv6))
        assert eventually(lambda: node.page("/healthz/ready")[0] == 200)


def test_a_stale_pin_is_named_and_what_is_in_force_stays_so(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(pod)
    node.start().stop()
    (maps,) = (node.bpffs / "stoq" / "maps").glob("tc_strict-*")
    (maps / "strict_ports").unlink()
    (maps / "strict_services").rename(maps / "strict_ports")
    node.start(wait=False)
    assert eventually(lambda: "remove it to start anew" in node.page("/healthz/ready")[1])
    assert node.page("/healthz/ready")[0] == 503
    assert node.metric("stoq_node_capability", name="strict") == 0
    assert node.metric("stoq_node_capability", name="account") == 1
    with Echo(peer):
        assert not dials(pod.netns, peer.ipv6)


def test_sources_that_do_not_fit_leave_the_guard_off_and_pods_enforced(
    laboratory: tuple[plan.Plan, Node, State],
) -> None:
    layout, node, _ = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(pod)
    allow, deny = (",".join(f"{at}::{last:x}/128" for last in range(8_193)) for at in ("1", "2"))
    uplink = {"STOQ_GUARD_INTERFACE": peer.port, "STOQ_GUARD_MODE": "auto"}
    agent = node.start({**uplink, "STOQ_GUARD_ALLOW": allow, "STOQ_GUARD_DENY": deny})
    assert node.metric("stoq_node_guard", mode="off") == 1
    assert "guard_sources is full" in agent.tail(4_000)
    with Echo(peer):
        assert not dials(pod.netns, peer.ipv6)
