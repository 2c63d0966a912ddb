"""Strict mode: nothing of a pod leaves it in the clear, whoever of the mesh is dead."""

from collections.abc import Sequence
from contextlib import suppress
from signal import SIGKILL

from lab import netns, sniff
from lab.apps import HTTP_PORT
from lab.command import CommandError
from lab.demo.kernel.agent import Agent
from lab.demo.report import Check
from lab.demo.stage import Stage
from lab.mesh import Mesh
from lab.packets import Kind
from lab.plan import Pod


def passed(agent: Agent, pods: Sequence[Pod]) -> Check:
    """After the programs ran: STOQ has passed, and nothing had to be dropped."""
    node = agent.node
    through = node.metric("stoq_node_strict_packets_total", reason="stoq", verdict="passed")
    dropped = sum(node.dropped(pod, way) for pod in pods for way in ("from_pod", "to_pod"))
    return Check(
        "strict mode in the kernel",
        ok=through > 0 and dropped == 0,
        detail=f"{through:.0f} packets of STOQ passed, {dropped:.0f} others were dropped",
    )


def holds(stage: Stage, agent: Agent, mesh: Mesh, client: Pod, server: Pod) -> Check:
    """The client turns on the mesh: its capture is removed, its sidecar killed, and the agent
    beside it. A witness in the server's pod looks for what arrives. Then all is mended.
    """
    before = agent.node.dropped(client)
    mesh.sidecars[client.name].stop(number=SIGKILL)
    agent.stop(SIGKILL)
    netns.run_in(client.netns, ["nft", "flush", "ruleset"])
    witness = sniff.Capture.start(
        stage.state,
        "strict",
        server.netns,
        expression=sniff.NOT_STOQ,
        snapshot=sniff.HEAD_BYTES,
    )
    for address in client.addresses:
        target = f"[{server.ipv6}]" if address == client.ipv6 else str(server.ipv4)
        url = f"http://{target}:{HTTP_PORT}/1"
        with suppress(CommandError):
            netns.run_in(client.netns, ["curl", "-sf", "--max-time", "2", url])
    missed = witness.stop()
    arrived = [
        packet
        for _, packet in sniff.packets(witness.file)
        if packet.kind is Kind.PLAINTEXT and packet.source in client.addresses
    ]
    agent.start()
    dropped = agent.node.dropped(client) - before
    mesh.start_sidecar(client)
    mesh.wait_ready([client])
    return Check(
        "capture removed, sidecar and agent killed",
        ok=not arrived and not missed and dropped > 0,
        detail=f"{dropped:.0f} plaintext packets dropped by the kernel, {len(arrived)} arrived",
    )
