"""Objects between two Python programs, over one connection and over several."""

import json
import sys
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.candidates.stoq import STOQ_PORT, Stoq
from benchlib.errors import BenchError
from benchlib.processes import running
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import Observation, Scenario
from lab.command import run


class Shards(Scenario):
    """As many objects as arrive; each candidate shares its shards out over other connections."""

    name: ClassVar[str] = "shards"

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("throughput", "Gbit/s", "bytes of objects that arrived whole and verified"),
        Metric("object", "ms", "an object of 4 MB, of two that are under way: the median"),
        Metric("sender_cpu", "s/GB", "CPU of the sending program"),
        Metric("failed", "objects", "not sent"),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """Both programs; nothing relays between them."""
        if not isinstance(candidate, Stoq):
            raise BenchError(f"{candidate.name} sends no objects")
        network, settings = bench.network, bench.settings
        address = f"[{network.server.address}]:{STOQ_PORT}"
        common = [address, str(bench.certificates.root.parent), "--workers", str(bench.workers)]
        program = [sys.executable, "-m", "benchlib.objectload"]
        command = network.server.command([*program, "receive", *common])
        with running(network, "objects", command) as receiver:
            receiver.wait_until("receiving", lambda: "receiving" in receiver.tail())
            observation = Observation(
                Route(network.server.address, STOQ_PORT, {"server": receiver})
            )
            command = [*program, "send", *common, "--lanes", str(candidate.lanes)]
            command += ["--seconds", str(settings.seconds)]
            done = run(network.client.command(command), timeout=settings.seconds + 90)
            values = values_of(done.stdout, candidate.lanes)
            return observation.sample(values)


def values_of(said: str, lanes: int) -> dict[str, float]:
    """The sender's JSON as metrics; raises BenchError when nothing arrived, or over fewer
    connections than there should be.
    """
    figures = json.loads(said)
    if not figures["bits_per_second"]:
        raise BenchError(f"no object arrived, and {figures['failed']} were not sent")
    if figures["connections"] != lanes:
        raise BenchError(f"{figures['connections']} connections instead of {lanes}")
    return {
        "throughput": figures["bits_per_second"] / 1e9,
        "object": figures["object_ms"],
        "sender_cpu": figures["cpu_per_gb"],
        "failed": float(figures["failed"]),
    }
