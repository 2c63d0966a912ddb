"""kill -9 of sidecar, agent and control plane during traffic: packets in the clear that are
delivered to or from a strict pod, by a witness outside of the programs under test (`lab.outages`).
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from benchlib import certificates, network
from benchlib.candidates.base import Bench
from benchlib.candidates.stoq import started
from benchlib.errors import BenchError
from benchlib.node.settings import Settings
from benchlib.scenarios.base import ECHO_PORT
from benchlib.scenarios.latency import echo_server
from benchlib.settings import Settings as PathSettings
from benchlib.tools import Tools
from lab import outages
from lab.mesh import MeshSettings
from lab.outages import Seen


def measure(settings: Settings, tools: Tools) -> dict[str, float]:
    """One round, by "killed what". Raises BenchError and what hack/lab raises."""
    path = PathSettings("latency", mtu=settings.mtu, seconds=settings.seconds)
    strict = MeshSettings(inbound="strict", outbound="meshOnly")
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        network.pair(settings.mtu, pin=False) as pods,
    ):
        bench = Bench(path, pods, tools, certificates.make(Path(folder)))
        with echo_server(bench):
            mesh, _ = started(pods, strict)
            ends = pods.client.pod, pods.server.pod
            with outages.trial(mesh, pods.layout, *ends, ECHO_PORT) as trial:
                unheld = trial.unheld()
                trial.hold()
                return figures(unheld, {name: trial.kill(name) for name in outages.VICTIMS})


def figures(unheld: Seen, killed: dict[str, Seen]) -> dict[str, float]:
    """Of what was seen. Raises BenchError where a count of 0 would say nothing."""
    if not unheld.delivered:
        raise BenchError("nothing was delivered in the clear before strict mode: none was tried")
    for name, seen in killed.items():
        if name != "sidecar" and not seen.answers:
            raise BenchError(f"the {name} was killed, and the meshed traffic with it")
    return {
        "killed unheld": unheld.delivered,
        "killed tries": sum(seen.tries for seen in killed.values()),
        **{f"killed {name}": seen.delivered for name, seen in killed.items()},
    }
