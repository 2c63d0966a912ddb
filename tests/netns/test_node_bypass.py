"""The node agent tells plaintext that goes past a sidecar from what a sidecar lets through."""

import sys
import time

from lab import netns, plan
from lab.node import Node
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


def watched(mesh: Running, pod: plan.Pod) -> Node:
    """An agent that looks at the pod, whose sidecar has spoken."""
    node = Node(mesh.layout, mesh.state)
    node.list(pod, udp=False, addresses=str(pod.ipv6))
    node.start(LOOKS)
    assert eventually(lambda: node.metric("stoq_node_bypass_pods", state="accounted") == 1, 30)
    return node


def found(node: Node) -> float:
    return node.metric("stoq_node_bypass_bytes_total", pod="pod")


def settled(node: Node) -> float:
    """What is found once nothing more comes."""
    last, now = -1.0, found(node)
    while now != last:
        time.sleep(0.5)
        last, now = now, found(node)
    return now


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
        as_sidecar = ["setpriv", f"--reuid={SIDECAR_UID}", "--clear-groups"]
        dial = [*as_sidecar, sys.executable, "-c", DIAL, str(outside.ipv6), str(PORT)]
        netns.run_in(pod.netns, dial)
        assert eventually(lambda: found(node) > SEEN, 10)
        assert node.metric("stoq_node_bypass_pods", state="bypassed") == 1

        before = settled(node)
        assert before <= SENT
        for _ in range(3):
            ordinary(mesh)
        assert not eventually(lambda: found(node) > before, 1.0)

        netns.run_in(pod.netns, ["nft", "flush", "ruleset"])
        with mesh.dial("outside", "pod") as answered:
            assert echoed(answered, b"x" * 100_000)
        assert eventually(lambda: found(node) > before + 90_000, 10)
