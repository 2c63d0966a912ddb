"""The node agent of the demonstration: it captures pods as in a cluster, and keeps all of them
strict, from before their sidecars start.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from signal import SIGTERM, Signals
from typing import Any, Final

from lab.cluster import CONFIG, STRICT, Cluster, Sandboxes
from lab.demo.stage import Stage
from lab.mesh import Mesh
from lab.node import Node
from lab.plan import Pod
from lab.process import Process, ProcessError

REQUIRED: Final = ("strict", "capture", "splice", "guard")
"""Capabilities without which there is nothing to show."""

POLICY: Final = "local"
"""The name of the pods' TransportPolicy."""

CEILING: Final = {
    "STOQ_GUARD_MODE": "auto",
    "STOQ_GUARD_CEILING_PER_SECOND": "20",
    "STOQ_GUARD_CEILING_BURST": "100",
}
"""The guard of the uplink: low, so that a small flood shows it."""

SECONDS: Final = 60.0
"""How long anything may take on a busy machine."""


class Agent:
    """One agent, and its successors. `pods` are captured and strict; the link of the first
    bystander plays the node's uplink.
    """

    def __init__(self, stage: Stage, pods: Sequence[Pod]) -> None:
        """Raises CommandError, and ProcessError when this machine cannot do it."""
        self._pods = pods
        self.node = Node(stage.plan, stage.state)
        self._cluster = Cluster(stage.plan, stage.state)
        self._sandboxes = Sandboxes(stage.state)
        self._uplink = stage.bystanders[0].port
        lacking = self.node.lacks(**self._settings())
        self.lends = lacking.get("af-xdp", "")
        """Why it could lend no pod's interface to its sidecar; empty if it can."""
        for name in REQUIRED:
            if name in lacking:
                raise ProcessError(f"this machine has no {name}: {lacking[name]}")
        self._sandboxes.add(*pods)
        self._cluster.mesh(**STRICT)
        self._cluster.runs(*pods, config=dataclasses.replace(CONFIG, capture="node"))
        self.start()

    def start(self, af_xdp: str = "off") -> None:
        """Returns when all pods are captured and strict; `af_xdp` is what it lends."""
        self._running: Process = self.node.start(self._settings(af_xdp))
        self.wait("keeping every pod strict", lambda: self._all("stoq_node_pods", "enforced"))
        self.wait("capturing every pod", lambda: self._all("stoq_node_capture_pods", "served"))

    def stop(self, number: Signals = SIGTERM) -> None:
        """Ends it; what is in force stays."""
        self._running.stop(number=number)

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        """Waits until `done`. Raises ProcessError with the end of the agent's log."""
        self._running.wait_until(what, done, SECONDS)

    def policy(self, mesh: Mesh, spec: Mapping[str, Any]) -> None:
        """The TransportPolicy of all pods, as their sidecars and as the agent know it."""
        mesh.write("TransportPolicy", POLICY, spec)
        self._cluster.policy(POLICY, dict(spec))

    def sent(self, pod: Pod) -> float:
        """Bytes that have left the pod past its sidecar, because it is joined with another."""
        return self.node.metric("stoq_node_splice_bytes_total", pod=pod.name)

    def refused(self) -> float:
        """Packets that the guard has dropped because there were too many of their kind."""
        return sum(
            self.node.metric("stoq_node_guard_packets_total", verdict=verdict)
            for verdict in ("ceiling", "source_rate")
        )

    def _settings(self, af_xdp: str = "copy") -> dict[str, str]:
        return {
            **self._cluster.environment,
            **CEILING,
            # It asks sidecars over plain HTTP, which the witness would count.
            "STOQ_BYPASS_SECONDS": "0",
            "STOQ_GUARD_INTERFACE": self._uplink,
            "STOQ_CAPTURE_NAMESPACES": str(self._sandboxes.folder),
            "STOQ_AF_XDP_MODE": af_xdp,
        }

    def _all(self, family: str, state: str) -> bool:
        return self.node.metric(family, state=state) == len(self._pods)
