"""The guard: a flood of handshakes that nobody means is dropped where it enters the node."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lab import sniff
from lab.blast import SOURCE_PORT
from lab.demo import traffic
from lab.demo.files import Sample
from lab.demo.kernel.agent import Agent
from lab.demo.report import Check
from lab.demo.stage import Stage
from lab.plan import Pod

BLAST: Final = 5000
"""Packets of the flood."""


def show(stage: Stage, agent: Agent, client: Pod, server: Pod, sample: Sample) -> Check:
    """A bystander floods the server while the client fetches `sample` from it."""
    before = agent.refused()
    witness = sniff.Capture.start(
        stage.state,
        "flood",
        stage.plan.fabric,
        expression=f"udp src port {SOURCE_PORT}",
        snapshot=sniff.HEAD_BYTES,
    )
    with ThreadPoolExecutor(1) as beside:
        flood = beside.submit(agent.node.blast, stage.bystanders[0], server, BLAST)
        fetched = traffic.fetch(client, server, sample)
        flood.result()
    witness.stop()
    arrived = sum(1 for _ in sniff.packets(witness.file, outgoing=True))
    return check(fetched, agent.refused() - before, arrived)


def check(fetched: Check, dropped: float, arrived: int) -> Check:
    """Most of it is dropped, and who means it goes on."""
    detail = (
        f"of {BLAST} handshakes from nobody's addresses {dropped:.0f} were dropped, {arrived} "
        f"reached the pod; {fetched.name} meanwhile: {fetched.detail}"
    )
    ok = fetched.ok and dropped > 0.8 * BLAST and arrived < 0.2 * BLAST
    return Check("guard of the uplink", ok, detail)
