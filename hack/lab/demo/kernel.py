"""What the node's kernel does for the pods of the demonstration (`--ebpf`)."""

from collections.abc import Sequence
from contextlib import suppress
from signal import SIGKILL

from lab import netns, sniff
from lab.command import CommandError
from lab.demo.report import Check
from lab.mesh import Mesh
from lab.node import Node
from lab.packets import Kind
from lab.plan import Plan, Pod
from lab.process import Process
from lab.state import State

PORT = 8080


class Kernel:
    """Strict mode for every pod, from before its sidecar starts."""

    def __init__(self, layout: Plan, state: State, pods: Sequence[Pod]) -> None:
        self._state = state
        self._node = Node(layout, state)
        self._node.require("strict")
        self._node.strict(*pods)
        self._agent: Process = self._node.start()

    def passed(self, pods: Sequence[Pod]) -> Check:
        """After the programs ran: STOQ has passed, and nothing had to be dropped."""
        passed = self._packets("stoq", "passed")
        dropped = sum(
            self._node.dropped(pod, way) for pod in pods for way in ("from_pod", "to_pod")
        )
        return Check(
            "strict mode in the kernel",
            ok=passed > 0 and dropped == 0,
            detail=f"{passed:.0f} packets of STOQ passed, {dropped:.0f} others were dropped",
        )

    def holds(self, mesh: Mesh, client: Pod, server: Pod) -> Check:
        """The client turns on the mesh: its capture is removed, its sidecar killed, and the agent
        beside it. A witness in the server's pod looks for what arrives. Then all is mended.
        """
        mesh.sidecars[client.name].stop(number=SIGKILL)
        netns.run_in(client.netns, ["nft", "flush", "ruleset"])
        self._agent.stop(number=SIGKILL)
        witness = sniff.Capture.start(
            self._state,
            "strict",
            server.netns,
            expression=sniff.NOT_STOQ,
            snapshot=sniff.HEAD_BYTES,
        )
        for address in client.addresses:
            target = f"[{server.ipv6}]" if address == client.ipv6 else str(server.ipv4)
            url = f"http://{target}:{PORT}/1"
            with suppress(CommandError):
                netns.run_in(client.netns, ["curl", "-sf", "--max-time", "2", url])
        missed = witness.stop()
        arrived = [
            packet
            for _, packet in sniff.packets(witness.file)
            if packet.kind is Kind.PLAINTEXT and packet.source in client.addresses
        ]
        self._agent = self._node.start()
        dropped = self._node.dropped(client)
        mesh.start_sidecar(client)
        mesh.wait_ready([client])
        return Check(
            "capture removed, sidecar and agent killed",
            ok=not arrived and not missed and dropped > 0,
            detail=f"{dropped:.0f} plaintext packets dropped by the kernel, {len(arrived)} arrived",
        )

    def _packets(self, reason: str, verdict: str) -> float:
        return self._node.metric("stoq_node_strict_packets_total", reason=reason, verdict=verdict)
