"""The node agent lends pods' interfaces to their sidecars: STOQ past the kernel's stack."""

import json
from collections.abc import Iterator
from functools import partial
from signal import SIGKILL

import pytest

from lab import command, netns, plan
from lab.mesh import MeshSettings
from lab.process import Process
from netns.meshes import Echo, Running, eventually, running
from netns.test_node_capture import FIVE, IN_NODE_MODE, Laboratory
from stoq_node.measuring import measured
from support.patience import ATTEMPTS

pytestmark = pytest.mark.timeout(240)

SENT = "stoq_af_xdp_sent_frames_total"
RECEIVED = "stoq_af_xdp_received_frames_total"
QUEUES = "stoq_af_xdp_queues"


def under(*more: str) -> tuple[str, ...]:
    """The capabilities that the chart gives the agent, and no other."""
    named = ",".join([FIVE, *(f"+{one}" for one in more)])
    return "setpriv", f"--bounding-set={named}", f"--inh-caps={named}"


@pytest.fixture
def laboratory() -> Iterator[Laboratory]:
    """Pods without a sidecar yet: `client` and `server` are to be meshed. Their veths have one
    queue, which is of use to one worker.
    """
    settings = MeshSettings(capture="agent", environment={"STOQ_DATA_WORKERS": "1"})
    with running(settings=settings, also=("client", "server")) as made:
        yield Laboratory(made)


def agent(laboratory: Laboratory, mode: str) -> Process:
    settings = {
        **laboratory.cluster.environment,
        "STOQ_CAPTURE_NAMESPACES": str(laboratory.sandboxes.folder),
        "STOQ_AF_XDP_MODE": mode,
    }
    return laboratory.node.start(settings, under=under("ipc_lock"))


def measuring_agent(laboratory: Laboratory) -> None:
    """One that chooses by figures. A machine may be too busy for any: then sockets are used, and
    the next agent measures anew.
    """
    for _ in range(ATTEMPTS):
        started = agent(laboratory, "auto")
        if laboratory.node.metric("stoq_node_af_xdp_trial_bytes_per_second", way="sockets") > 0:
            return
        assert laboratory.node.metric("stoq_node_capability", name="af-xdp") == 0
        started.stop()
    pytest.fail("no agent could measure AF_XDP")


def meshed(laboratory: Laboratory) -> tuple[plan.Pod, plan.Pod]:
    mesh = laboratory.mesh
    pods = client, server = mesh.pod("client"), mesh.pod("server")
    laboratory.sandboxes.add(*pods)
    laboratory.cluster.runs(*pods, config=IN_NODE_MODE)
    for pod in pods:
        mesh.mesh.enrol(pod)
        mesh.mesh.start_sidecar(pod)
    mesh.mesh.wait_ready(pods)
    return client, server


def attached(pod: plan.Pod) -> bool:
    return "xdp" in netns.run_in(pod.netns, ["ip", "link", "show", "eth0"])


def grows(mesh: Running, pod: str, family: str) -> bool:
    before = mesh.metric(pod, family)
    assert mesh.reaches("client", "server")
    return mesh.metric(pod, family) > before


def test_datagrams_go_past_the_stack_with_and_without_the_agent(laboratory: Laboratory) -> None:
    running_agent = agent(laboratory, "copy")
    assert laboratory.node.metric("stoq_node_capability", name="af-xdp") == 1
    client, server = meshed(laboratory)
    mesh = laboratory.mesh
    with Echo(server):
        assert eventually(lambda: mesh.reaches("client", "server"))
        for pod in ("client", "server"):
            assert mesh.metric(pod, QUEUES) >= 1
            assert mesh.metric(pod, "stoq_af_xdp_malformed_frames_total") == 0
            for family in (SENT, RECEIVED):
                assert eventually(partial(grows, mesh, pod, family))

        # What was lent belongs to the sidecar.
        running_agent.stop(number=SIGKILL)
        assert eventually(partial(grows, mesh, "client", SENT))

        # It goes with the sidecar, and the next one has its own.
        assert attached(client)
        mesh.mesh.sidecars["client"].stop(number=SIGKILL)
        assert eventually(lambda: not attached(client))
        agent(laboratory, "copy")
        mesh.mesh.start_sidecar(client)
        mesh.mesh.wait_ready([client])
        assert attached(client)
        assert eventually(lambda: mesh.reaches("client", "server"))
        assert eventually(partial(grows, mesh, "client", SENT))


def test_what_cannot_be_lent_leaves_the_sidecar_to_its_sockets(laboratory: Laboratory) -> None:
    # A veth's driver has no way without copies.
    agent(laboratory, "zero-copy")
    client, server = meshed(laboratory)
    mesh = laboratory.mesh
    with Echo(server):
        assert eventually(lambda: mesh.reaches("client", "server"))
    assert mesh.metric("client", QUEUES) == mesh.metric("client", SENT) == 0
    assert not attached(client)
    log = mesh.mesh.sidecars["client"].log.read_text(encoding="utf-8")
    assert "STOQ goes by the kernel's stack: eth0: no AF_XDP" in log


def test_a_pod_that_goes_takes_what_was_lent_along(laboratory: Laboratory) -> None:
    agent(laboratory, "copy")
    client, server = meshed(laboratory)
    mesh = laboratory.mesh
    with Echo(server):
        assert eventually(lambda: mesh.reaches("client", "server"))
        command.run([*netns.enter(client.netns), "ip", "link", "del", "eth0"])
        assert eventually(lambda: mesh.metric("client", QUEUES) == 0)
    assert mesh.metric("server", QUEUES) >= 1


def test_both_ways_are_measured_over_links_made_for_it() -> None:
    found = measured()
    for speed in (found.sockets, found.af_xdp):
        assert speed.bulk > 1e6
        assert speed.trips > 10


def test_where_the_agent_chooses_it_goes_by_what_it_has_measured(laboratory: Laboratory) -> None:
    node = laboratory.node
    measuring_agent(laboratory)
    chosen = node.metric("stoq_node_capability", name="af-xdp") == 1
    gains = []
    for unit in ("bytes", "requests"):
        family = f"stoq_node_af_xdp_trial_{unit}_per_second"
        past, by = (node.metric(family, way=way) for way in ("af-xdp", "sockets"))
        gains.append(past / by)
    assert chosen == (max(gains) >= 1.1 and min(gains) >= 1)
    client, server = meshed(laboratory)
    with Echo(server):
        assert eventually(lambda: laboratory.mesh.reaches("client", "server"))
    assert attached(client) == attached(server) == chosen


def test_an_agent_that_can_lend_nothing_measures_nothing(laboratory: Laboratory) -> None:
    probed = laboratory.node.run("probe", "--json", STOQ_AF_XDP_MODE="auto")
    found = {one["name"]: one for one in json.loads(probed.stdout)["capabilities"]}
    assert not found["af-xdp"]["supported"]
    assert "STOQ_CAPTURE_NAMESPACES" in found["af-xdp"]["reason"]
