"""Pods of one node that are joined: past both sidecars, for as long as both sidecars want it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from signal import SIGKILL
from typing import Any

import pytest

from lab import plan
from lab.cluster import STRICT
from lab.mesh import MeshSettings
from lab.process import Process
from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.sockets import connect
from netns.test_node_capture import IN_NODE_MODE, Laboratory
from netns.witness import Witness

pytestmark = pytest.mark.timeout(300)

HOLD = 10
"""Seconds for which pods stay joined without the agent."""

BEHIND = 20.0
"""Seconds in which the mesh must have followed, on a machine that is busy."""


class Node(Laboratory):
    """Two strict pods with sidecars, and a record that leads to the one of them."""

    def __init__(self, made: Running) -> None:
        super().__init__(made)
        self.pods = self.client, self.server = made.pod("client"), made.pod("server")
        self.sandboxes.add(*self.pods)
        self.cluster.mesh(**STRICT)
        self.cluster.runs(*self.pods, config=IN_NODE_MODE)
        self.agents_policy("splice")
        self.sidecars_policy({"nodeLocal": "splice"})
        ends = [{"address": str(address)} for address in self.server.addresses]
        made.mesh.write("ServiceRecord", "db", {"ports": [{"port": PORT}], "endpoints": ends})
        self.runner = self.agent()
        for pod in self.pods:
            made.mesh.enrol(pod)
            made.mesh.start_sidecar(pod)
        made.mesh.wait_ready(self.pods)

    def agents_policy(self, word: str) -> None:
        self.cluster.policy("local", {"nodeLocal": word})

    def sidecars_policy(self, spec: dict[str, Any]) -> None:
        self.mesh.mesh.write("TransportPolicy", "local", spec)

    def restart(self) -> Process:
        self.runner = self.agent()
        return self.runner

    def sent(self, pod: plan.Pod) -> float:
        return self.node.metric("stoq_node_splice_bytes_total", pod=pod.name)

    @property
    def pairs(self) -> float:
        return self.node.metric("stoq_node_splice_pairs")

    def joins(self) -> bool:
        """Whether the pods are joined, in both families, once they have spoken."""
        assert eventually(lambda: self.mesh.reaches("client", "server"), BEHIND)
        return eventually(lambda: self.pairs == 2, BEHIND)


@pytest.fixture
def node() -> Iterator[Node]:
    with running(settings=MeshSettings(capture="agent"), also=("client", "server")) as made:
        yield Node(made)


def in_the_clear(node: Node, message: bytes, address: object = None) -> bool:
    """Whether the server's link carries `message` as it is, over a connection that works."""
    target = address or node.server.ipv6
    with Witness(node.server.netns) as witness:
        with connect(node.client.netns, target, PORT) as connection:
            assert echoed(connection, message)
        return any(message in packet.data for packet in witness.packets())


def encrypted_again(node: Node) -> bool:
    def now() -> bool:
        with suppress(OSError, AssertionError):
            return not in_the_clear(node, b"nobody may read this")
        return False

    return eventually(now, BEHIND)


def ended(connection: socket.socket, seconds: float = BEHIND) -> bool:
    """Whether a program that waits to be sent something learns that nothing will come."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_what_joined_pods_say_goes_past_both_sidecars_and_is_counted(node: Node) -> None:
    with Echo(node.server) as echo:
        assert node.joins()
        before = [node.sent(pod) for pod in node.pods]
        relayed = node.mesh.mesh.counted(node.client, "stoq_tcp")
        message = bytes(range(256)) * 4096
        for address in node.server.addresses:
            assert in_the_clear(node, b"anybody on the node may read this", address)
            with connect(node.client.netns, address, PORT) as connection:
                assert echoed(connection, message)
        for pod, was in zip(node.pods, before, strict=True):
            assert node.sent(pod) - was > 2 * len(message)
        assert node.mesh.mesh.counted(node.client, "stoq_tcp") == relayed
        assert node.node.dropped(node.client) == node.node.dropped(node.server, "to_pod") == 0
        assert node.node.metric("stoq_node_bypass_pods", state="bypassed") == 0
        assert echo.accepted >= 4

        # Another port of the same pod goes through the sidecars as ever.
        with Echo(node.server, PORT + 1), Witness(node.server.netns) as witness:
            assert node.mesh.reaches("client", "server", PORT + 1)
            assert not [one for one in witness.tcp() if one.destination_port == PORT + 1]


def taken_by_policy(node: Node) -> None:
    node.sidecars_policy({"nodeLocal": "encrypted"})


def taken_by_the_nodes_view(node: Node) -> None:
    node.agents_policy("encrypted")


def taken_by_access(node: Node) -> None:
    nobody = {"from": {"serviceAccounts": ["demo/nobody"]}}
    node.mesh.mesh.write("AccessPolicy", "closed", {"action": "allow", "rules": [nobody]})


def taken_by_a_dead_sidecar(node: Node) -> None:
    node.mesh.mesh.sidecars["server"].stop(number=SIGKILL)


@pytest.mark.parametrize(
    ("take", "next_one"),
    [
        (taken_by_policy, True),
        (taken_by_the_nodes_view, True),
        (taken_by_access, False),
        (taken_by_a_dead_sidecar, False),
    ],
)
def test_open_connections_end_with_the_agreement_and_the_next_is_encrypted(
    node: Node, take: Callable[[Node], None], next_one: bool
) -> None:
    with Echo(node.server):
        assert node.joins()
        with connect(node.client.netns, node.server.ipv6, PORT) as connection:
            assert echoed(connection)
            take(node)
            assert ended(connection)
        assert eventually(lambda: node.pairs == 0, BEHIND)
        assert node.node.metric("stoq_node_splice_resets_total") >= 1
        if next_one:
            assert encrypted_again(node)
        else:
            with Witness(node.server.netns) as witness:
                assert not node.mesh.reaches("client", "server")
                assert not [p for p in witness.tcp() if p.destination_port == PORT]


def test_who_listens_goes_on_listening_when_connections_of_before_are_over(node: Node) -> None:
    with Echo(node.server) as echo:
        assert node.joins()
        # Over, and still known to the kernel.
        for address in node.server.addresses:
            assert in_the_clear(node, b"anybody on the node may read this", address)
        with connect(node.client.netns, node.server.ipv6, PORT) as connection:
            assert echoed(connection)
            taken_by_policy(node)
            assert ended(connection)
        before = echo.accepted
        assert encrypted_again(node)
        assert echo.accepted > before


def test_without_the_agent_pods_part_by_themselves_and_nothing_leaks(node: Node) -> None:
    with Echo(node.server):
        assert node.joins()
        with connect(node.client.netns, node.server.ipv6, PORT) as connection:
            assert echoed(connection)
            node.runner.stop(number=SIGKILL)
            assert echoed(connection), "it lasts for some seconds"
            assert eventually(lambda: not echoed(connection), HOLD + BEHIND)
        assert encrypted_again(node)
        node.restart()
        assert node.joins(), "a successor joins them again"
        assert in_the_clear(node, b"anybody on the node may read this")


def test_a_successor_in_time_takes_over_open_connections(node: Node) -> None:
    with Echo(node.server):
        assert node.joins()
        with connect(node.client.netns, node.server.ipv6, PORT) as connection:
            assert echoed(connection)
            node.runner.stop()
            node.restart()
            assert eventually(lambda: node.pairs == 2, BEHIND)
            assert not eventually(lambda: not echoed(connection), HOLD + 5), "it goes on"
            assert node.pairs == 2


def test_pods_that_no_policy_joins_are_not_joined(node: Node) -> None:
    node.sidecars_policy({"nodeLocal": "encrypted"})
    with Echo(node.server):
        assert encrypted_again(node)
        assert not eventually(lambda: node.pairs > 0, 5)
