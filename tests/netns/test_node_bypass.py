"""The node agent tells plaintext that goes past a sidecar from what a sidecar lets through."""

import sys

from lab import netns, plan
from lab.mesh import MeshSettings
from lab.node import Node
from netns.datagrams import TRIES, UdpEcho, answered, udp
from netns.meshes import Echo, Running, echoed, eventually, running
from netns.sockets import connect
from stoq.constants import METRICS_PORT, SIDECAR_UID

PORT = 8080
LOOKS = {"STOQ_BYPASS_SECONDS": "0.1"}
SENT = 20_000
SEEN = 15_000
"""Of `SENT`: between two looks as much may hide as the headers of exempt packets take."""
DIAL = f"""
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as plain:
    plain.sendall(b"x" * {SENT})
    left = {SENT}
    while left:
        left -= len(plain.recv(left)) or left
"""


ASK = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
    for _ in range(40):
        plain.sendto(b"x" * 500, (sys.argv[1], int(sys.argv[2])))
"""
ASKED = 20_000
"""What `ASK` sends."""


def watched(mesh: Running, pod: plan.Pod) -> Node:
    """An agent that looks at the pod, whose sidecar has spoken."""
    node = Node(mesh.layout, mesh.state)
    node.list(pod, udp=False, addresses=str(pod.ipv6))
    node.start(LOOKS)
    assert eventually(lambda: node.metric("stoq_node_bypass_pods", state="accounted") == 1)
    return node


def found(node: Node, protocol: str = "tcp") -> float:
    return node.metric("stoq_node_bypass_bytes_total", pod="pod", protocol=protocol)


def settled(node: Node, protocol: str = "tcp") -> float:
    """What is found once nothing more has come for long, which a busy agent may take to look."""
    seen = [found(node, protocol)]

    def more() -> bool:
        seen.append(found(node, protocol))
        return seen[-1] != seen[-2]

    while eventually(more, 3.0):
        pass
    return seen[-1]


def as_sidecar(pod: plan.Pod, program: str, *arguments: object) -> None:
    """Runs a program under the uid that capture leaves alone."""
    words = ["setpriv", f"--reuid={SIDECAR_UID}", "--clear-groups"]
    netns.run_in(pod.netns, [*words, sys.executable, "-c", program, *map(str, arguments)])


def ordinary(mesh: Running) -> None:
    """Plaintext that policy lets through, both ways, small and large, and what is exempt."""
    pod, outside = mesh.pod("pod"), mesh.pod("outside")
    large = b"x" * 300_000
    with mesh.dial("pod", "outside") as out, mesh.dial("outside", "pod") as back:
        for connection in (out, back):
            assert echoed(connection)
            assert echoed(connection, large)
    assert mesh.reaches("pod", "peer"), "by STOQ"
    scrape = ["curl", "-sf", f"http://[{pod.ipv6}]:{METRICS_PORT}/metrics"]
    netns.run_in(outside.netns, scrape)
    with connect(mesh.layout.fabric, pod.ipv6, PORT) as probe:
        assert echoed(probe)


def test_only_what_goes_past_the_sidecar_raises_the_alarm() -> None:
    with (
        running("pod", "peer") as mesh,
        Echo(mesh.pod("pod")),
        Echo(mesh.pod("peer")),
        Echo(mesh.pod("outside")),
    ):
        pod, outside = mesh.pod("pod"), mesh.pod("outside")
        node = watched(mesh, pod)
        as_sidecar(pod, DIAL, outside.ipv6, PORT)
        assert eventually(lambda: found(node) > SEEN)
        assert node.metric("stoq_node_bypass_pods", state="bypassed") == 1

        before = settled(node)
        assert before <= SENT
        for _ in range(3):
            ordinary(mesh)
        assert not eventually(lambda: found(node) > before, 1.0)

        netns.run_in(pod.netns, ["nft", "flush", "ruleset"])
        with mesh.dial("outside", "pod") as answered:
            assert echoed(answered, b"x" * 100_000)
        assert eventually(lambda: found(node) > before + 90_000)


def test_datagrams_past_the_sidecar_that_captures_them_raise_the_alarm() -> None:
    with running("pod", "peer", settings=MeshSettings(capture="node")) as mesh:
        pod, peer, outside = mesh.pod("pod"), mesh.pod("peer"), mesh.pod("outside")
        node = watched(mesh, pod)
        with (
            UdpEcho(pod.netns, PORT),
            UdpEcho(peer.netns, PORT),
            UdpEcho(outside.netns, PORT),
            udp(pod.netns) as asking,
            udp(outside.netns) as stranger,
        ):
            as_sidecar(pod, ASK, outside.ipv6, PORT)
            assert eventually(lambda: found(node, "udp") > 0)
            assert settled(node, "udp") == ASKED
            assert node.metric("stoq_node_bypass_pods", state="bypassed") == 1

            for size in (0, 100, 1_400, 9_000):
                assert answered(asking, outside.ipv6, PORT, b"x" * size, tries=TRIES), "by policy"
                assert answered(asking, peer.ipv6, PORT, b"x" * size, tries=TRIES), "by STOQ"
                assert answered(stranger, pod.ipv6, PORT, b"x" * size, tries=TRIES), "answers"
            assert not eventually(lambda: found(node, "udp") > ASKED, 2.0)
        assert found(node) == 0, "no TCP did"
