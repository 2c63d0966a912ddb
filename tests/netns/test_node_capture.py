"""The node agent captures the traffic of pods, and is the broker of their sidecars."""

import dataclasses
from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab import command, netns, plan
from lab.cluster import CONFIG, Cluster, Sandboxes, described
from lab.mesh import MeshSettings
from lab.node import Node
from lab.process import Process
from netns.datagrams import TRIES, UdpEcho, answered, udp
from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.sockets import connect

pytestmark = pytest.mark.timeout(240)

IN_NODE_MODE = dataclasses.replace(CONFIG, capture="node", capture_udp=True)
EXCLUDED = 9000

FIVE = "-all,+bpf,+perfmon,+net_admin,+sys_admin,+net_raw"
UNDER = ("setpriv", f"--bounding-set={FIVE}", f"--inh-caps={FIVE}")
"""The capabilities that the chart gives the agent with capture.mode=node, and no other."""


class Laboratory:
    """A node with an agent, whose pods' namespaces are files as containerd names them."""

    def __init__(self, made: Running) -> None:
        self.mesh = made
        self.node = Node(made.layout, made.state)
        self.cluster = Cluster(made.layout, made.state)
        self.sandboxes = Sandboxes(made.state)

    def agent(self) -> Process:
        settings = {
            **self.cluster.environment,
            "STOQ_CAPTURE_NAMESPACES": str(self.sandboxes.folder),
        }
        return self.node.start(settings, under=UNDER)

    def captured(self, state: str, number: int) -> bool:
        return eventually(
            lambda: self.node.metric("stoq_node_capture_pods", state=state) == number, 60
        )


@pytest.fixture
def laboratory() -> Iterator[Laboratory]:
    """Pods without a sidecar yet: `client` and `server` are to be meshed."""
    with running(settings=MeshSettings(capture="agent"), also=("client", "server")) as made:
        yield Laboratory(made)


def reached(source: plan.Pod, target: plan.Pod, port: int) -> bool:
    try:
        with connect(source.netns, target.ipv6, port, timeout=1.0) as connection:
            return echoed(connection)
    except OSError:
        return False


def waits_for(laboratory: Laboratory, pod: str) -> str:
    """What the pod's sidecar says to its kubelet; nothing before it has begun."""
    try:
        return laboratory.mesh.page(pod, "http://[::1]:14020/healthz/ready")[1]
    except command.CommandError:
        return ""


def test_sidecars_without_a_privilege_wait_for_the_agent_and_then_carry_traffic(
    laboratory: Laboratory,
) -> None:
    mesh = laboratory.mesh
    pods = client, server = mesh.pod("client"), mesh.pod("server")
    for pod in pods:
        mesh.mesh.enrol(pod)
        mesh.mesh.start_sidecar(pod)
    assert eventually(lambda: "is the node agent" in waits_for(laboratory, "client"))

    laboratory.sandboxes.add(*pods)
    laboratory.cluster.runs(*pods, config=IN_NODE_MODE)
    agent = laboratory.agent()
    mesh.mesh.wait_ready(pods)
    assert laboratory.captured("served", 2)
    with Echo(server):
        assert eventually(lambda: mesh.reaches("client", "server"))
        peers = {found["spiffe_id"] for found in mesh.admin("client", "/connections")}
        assert mesh.mesh.spiffe_id(server) in peers

        # Without the agent everything goes on; with it back a sidecar may begin anew.
        agent.stop(number=SIGKILL)
        assert mesh.reaches("client", "server")
        rules = listed(client)
        laboratory.agent()
        assert laboratory.captured("served", 2)
        assert listed(client) == rules, "what was in force stayed as it was"
        assert mesh.reaches("client", "server")
        mesh.mesh.sidecars["client"].stop(number=SIGKILL)
        assert not reached(client, server, PORT)
        mesh.mesh.start_sidecar(client)
        mesh.mesh.wait_ready([client])
        assert eventually(lambda: mesh.reaches("client", "server"))


def test_udp_is_captured_in_pods_that_were_made_so(laboratory: Laboratory) -> None:
    mesh = laboratory.mesh
    pods = client, server = mesh.pod("client"), mesh.pod("server")
    laboratory.sandboxes.add(*pods)
    laboratory.cluster.runs(*pods, config=IN_NODE_MODE, exclude_outbound_udp_ports=str(EXCLUDED))
    laboratory.agent()
    for pod in pods:
        mesh.mesh.enrol(pod)
        mesh.mesh.start_sidecar(pod)
    mesh.mesh.wait_ready(pods)
    outside = mesh.pod("outside")
    with UdpEcho(server.netns, PORT) as echo, udp(client.netns) as asking:
        assert answered(asking, server.ipv6, PORT, tries=TRIES)
        assert echo.peers[0] == (str(client.ipv6), asking.getsockname()[1])
        page = mesh.admin("client", "/config")
        assert page["captured_udp"] is True
        mesh.mesh.sidecars["client"].stop(number=SIGKILL)
        assert not answered(asking, server.ipv6, PORT)
    with UdpEcho(outside.netns, EXCLUDED), udp(client.netns) as asking:
        assert answered(asking, outside.ipv6, EXCLUDED, tries=TRIES), "it passes without a sidecar"


def test_a_pod_is_closed_before_its_sidecar_runs_but_for_what_it_excludes(
    laboratory: Laboratory,
) -> None:
    client, outside = (laboratory.mesh.pod(name) for name in ("client", "outside"))
    laboratory.sandboxes.add(client)
    laboratory.cluster.runs(client, config=IN_NODE_MODE, exclude_outbound_ports=str(EXCLUDED))
    with Echo(outside), Echo(outside, EXCLUDED):
        assert reached(client, outside, PORT), "nobody has captured it"
        agent = laboratory.agent()
        assert laboratory.captured("served", 1)
        assert not reached(client, outside, PORT)
        assert reached(client, outside, EXCLUDED)
        agent.stop()
        assert not reached(client, outside, PORT)


def test_a_pod_whose_exclusions_cannot_be_read_is_refused_with_an_event(
    laboratory: Laboratory,
) -> None:
    client, server = (laboratory.mesh.pod(name) for name in ("client", "server"))
    laboratory.sandboxes.add(client, server)
    shown = described(client, IN_NODE_MODE, exclude_outbound_ports="443")
    for variable in shown["spec"]["initContainers"][0]["env"]:
        if variable["name"] == "STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS":
            variable["value"] = "all"
    laboratory.cluster.shows(shown, described(server, IN_NODE_MODE))
    laboratory.agent()
    assert laboratory.captured("refused", 1)
    assert laboratory.captured("served", 1), "the other pod has what it needs"
    assert eventually(lambda: bool(laboratory.cluster.events()))
    (event,) = laboratory.cluster.events()
    assert event["involvedObject"]["name"] == "client"
    assert event["reason"] == "NotCaptured"
    assert "'all'" in event["message"]
    assert laboratory.cluster.condition() == "False"


def test_a_pod_that_goes_while_it_is_enrolled_leaves_no_trace_and_others_are_served(
    laboratory: Laboratory,
) -> None:
    client, server = (laboratory.mesh.pod(name) for name in ("client", "server"))
    laboratory.sandboxes.add(client, server)
    laboratory.sandboxes.remove(client)
    laboratory.cluster.runs(client, server, config=IN_NODE_MODE)
    laboratory.agent()
    assert laboratory.captured("served", 1)
    assert laboratory.captured("refused", 1)
    laboratory.cluster.runs(server, config=IN_NODE_MODE)
    assert laboratory.captured("refused", 0)
    assert laboratory.captured("served", 1)


def test_a_second_agent_on_the_node_is_refused_and_the_first_goes_on(
    laboratory: Laboratory,
) -> None:
    server = laboratory.mesh.pod("server")
    laboratory.sandboxes.add(server)
    laboratory.cluster.runs(server, config=IN_NODE_MODE)
    laboratory.agent()
    assert laboratory.captured("served", 1)
    second = laboratory.node.run(
        "run",
        **laboratory.cluster.environment,
        STOQ_CAPTURE_NAMESPACES=str(laboratory.sandboxes.folder),
        STOQ_LISTEN_METRICS="[::1]:14999",
    )
    assert second.returncode == 1
    assert "another agent" in second.stderr
    assert laboratory.captured("served", 1)


def listed(pod: plan.Pod) -> str:
    """The rules of the pod with their handles, which differ when they are made anew."""
    return netns.run_in(pod.netns, ["nft", "-a", "list", "table", "inet", "stoq"])
