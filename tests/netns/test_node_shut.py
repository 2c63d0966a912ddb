"""A strict pod on whose link the kernel takes no program is shut by other means until it does."""

from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab import command, netns, plan
from lab.node import Node
from netns.datagrams import TRIES, UdpEcho, answered, udp
from netns.hindrances import hindered, link
from netns.laboratories import pods
from netns.meshes import Echo, eventually
from netns.sockets import connect
from netns.witness import Witness
from stoq import constants
from stoq_node.shutter import MARK, TABLE


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, Node]]:
    with pods("pod", "peer", "other") as (layout, state):
        yield layout, Node(layout, state)


def rules(layout: plan.Plan) -> str:
    return netns.run_in(layout.fabric, ["nft", "list", "ruleset"])


def dials(source: str, address: object, port: int = 8080) -> bool:
    try:
        with connect(source, address, port, timeout=1.0):
            return True
    except OSError:
        return False


def test_a_strict_pod_that_takes_no_program_passes_nothing_whoever_runs(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    hindrance = hindered(layout, node, layout.pod("pod"))
    node.strict(pod)
    agent = node.start(wait=False)
    with (
        Echo(peer),
        Echo(pod),
        UdpEcho(peer.netns, constants.STOQ_PORT),
        udp(pod.netns) as asking,
    ):
        assert eventually(lambda: node.metric("stoq_node_shut_links", how="rules") == 1)
        status, why = node.page("/healthz/ready")
        assert status == 503
        assert hindrance.name in why
        assert "its link is shut" in why
        assert node.metric("stoq_node_pods", state="failed") == 1
        assert agent.stop(number=SIGKILL) == -SIGKILL
        with Witness(peer.netns) as witness:
            for address in (pod.ipv6, pod.ipv4):
                assert not dials(peer.netns, address)
            for address in (peer.ipv6, peer.ipv4):
                assert not dials(pod.netns, address)
            assert not answered(asking, peer.ipv6, constants.STOQ_PORT), "nothing at all passes"
            sent_by_pod = [one for one in witness.tcp() if one.destination_port == 8080]
            assert not sent_by_pod, "not even the first packet of a connection"

        # A successor finds what is shut, and opens it with strict mode on it.
        hindrance.rmdir()
        node.start()
        assert TABLE not in rules(layout)
        assert answered(asking, peer.ipv6, constants.STOQ_PORT, tries=TRIES), "what is STOQ passes"
        assert not dials(pod.netns, peer.ipv6)
        assert node.dropped(pod) > 0


def test_a_pod_that_is_no_longer_strict_is_opened_and_one_that_is_shut_again_when_rules_are_flushed(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    hindrance = hindered(layout, node, layout.pod("pod"))
    node.strict(pod)
    node.start(wait=False)
    with Echo(peer):
        assert eventually(lambda: TABLE in rules(layout))
        netns.run_in(layout.fabric, ["nft", "flush", "ruleset"])
        assert eventually(lambda: TABLE in rules(layout)), "at the next try"
        assert not dials(pod.netns, peer.ipv6)
        node.list(pod)
        assert eventually(lambda: TABLE not in rules(layout))
        assert eventually(lambda: dials(pod.netns, peer.ipv6))
    hindrance.rmdir()


def test_without_rules_the_link_is_taken_down_and_up_again(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    hindrance = hindered(layout, node, layout.pod("pod"))
    node.strict(pod)
    agent = node.start(under=["env", f"PATH={node.bpffs}"], wait=False)
    with Echo(peer):
        assert eventually(lambda: node.metric("stoq_node_shut_links", how="down") == 1)
        assert "nft is not in PATH" in agent.tail(4_000)
        down = link(layout, pod.port)
        assert "UP" not in down["flags"]
        assert down["ifalias"] == MARK
        assert agent.stop(number=SIGKILL) == -SIGKILL

        hindrance.rmdir()
        node.start()
        up = link(layout, pod.port)
        assert "UP" in up["flags"]
        assert "ifalias" not in up
        assert not dials(pod.netns, peer.ipv6), "strict mode is on it"
        node.list(pod)
        assert eventually(lambda: dials(pod.netns, peer.ipv6))


def test_a_strict_pod_that_comes_while_nothing_can_be_pinned_is_shut(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.list()
    node.start()
    with Echo(peer):
        command.run(["umount", "-l", str(node.bpffs)])
        node.strict(pod)
        assert eventually(lambda: TABLE in rules(layout))
        assert not dials(pod.netns, peer.ipv6)
        command.run(["mount", "-t", "bpf", "bpf", str(node.bpffs)])
        assert eventually(lambda: node.page("/healthz/ready")[0] == 200)
        assert TABLE not in rules(layout)
        assert not dials(pod.netns, peer.ipv6), "strict mode is on it"


def test_where_the_verifier_refuses_strict_mode_new_strict_pods_are_shut_and_others_go_on(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    pod, peer, other = (layout.pod(name) for name in ("pod", "peer", "other"))
    # Without CAP_PERFMON it does not follow pointers into maps.
    two = "-all,+bpf,+net_admin"
    under = ["setpriv", f"--bounding-set={two}", f"--inh-caps={two}"]
    node.strict(pod)
    agent = node.start(under=under, wait=False)
    with Echo(peer):
        assert eventually(lambda: node.metric("stoq_node_shut_links", how="rules") == 1)
        status, why = node.page("/healthz/ready")
        assert status == 503
        assert "this process lacks CAP_PERFMON; the kernel refuses program strict_to_pod" in why
        assert node.metric("stoq_node_capability", name="strict") == 0
        assert node.metric("stoq_node_pods", state="failed") == 1
        assert not dials(pod.netns, peer.ipv6)
        assert eventually(lambda: dials(other.netns, peer.ipv6)), "it is not strict"
        agent.stop()

        # With the right an agent opens it, and puts strict mode on it; without it another leaves
        # that in force.
        node.start().stop()
        assert TABLE not in rules(layout)
        assert not dials(pod.netns, peer.ipv6)
        node.start(under=under, wait=False)
        assert eventually(lambda: "CAP_PERFMON" in node.page("/healthz/ready")[1])
        assert TABLE not in rules(layout), "strict mode is still on it"
        assert not dials(pod.netns, peer.ipv6)
