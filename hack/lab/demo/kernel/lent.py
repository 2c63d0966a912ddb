"""AF_XDP: the agent lends pods' interfaces to their sidecars, and STOQ goes past the stack."""

from collections.abc import Sequence
from typing import Final

from lab.demo import traffic
from lab.demo.files import Sample
from lab.demo.kernel.agent import Agent
from lab.demo.report import Check
from lab.demo.stage import Stage
from lab.mesh import Mesh
from lab.plan import Pod

SENT: Final = "stoq_af_xdp_sent_frames_total"
RECEIVED: Final = "stoq_af_xdp_received_frames_total"

ONE_WORKER: Final = {"STOQ_DATA_WORKERS": "1"}
"""A veth has one queue, which belongs to one worker."""


def show(stage: Stage, agent: Agent, mesh: Mesh, client: Pod, server: Pod, sample: Sample) -> Check:
    """An agent that lends takes over, and sidecars that are started anew borrow."""
    stage.progress("restarting the agent, which lends now, and both sidecars")
    agent.stop()
    agent.start("copy")
    for pod in (client, server):
        mesh.sidecars[pod.name].stop()
        mesh.start_sidecar(pod, ONE_WORKER)
    mesh.wait_ready([client, server])
    fetched: list[Check] = []

    def went() -> bool:
        # The first datagrams go by the socket, until the kernel knows the neighbour.
        before = _frames(mesh, client, server)
        fetched.append(traffic.fetch(client, server, sample))
        after = _frames(mesh, client, server)
        return fetched[-1].ok and all(b > a for a, b in zip(before, after, strict=True))

    agent.wait("lending interfaces by which frames go", went)
    return check(fetched[-1], _frames(mesh, client, server))


def check(fetched: Check, frames: Sequence[float]) -> Check:
    """Both sidecars have sent and received frames; `frames` are the client's and the server's."""
    sent, received = frames[0] + frames[2], frames[1] + frames[3]
    detail = (
        f"{sent:.0f} frames sent past the kernel's stack and {received:.0f} received, by both "
        f"sidecars; {fetched.name}: {fetched.detail}"
    )
    return Check("AF_XDP, lent by the agent", fetched.ok and min(frames) > 0, detail)


def _frames(mesh: Mesh, *pods: Pod) -> list[float]:
    """Sent and received, of each pod in turn."""
    return [mesh.total(pod, name) for pod in pods for name in (SENT, RECEIVED)]
