"""Whether applications that do not read hold up one that does."""

from typing import ClassVar

from benchlib import iperf
from benchlib.candidates.base import Bench, Candidate
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import ECHO_PORT, IPERF_PORT, Scenario
from benchlib.scenarios.latency import echo_server
from benchlib.scenarios.memory import holding
from lab import netns

# Stalled connections fill the kernel's buffers too, five of each. At their default maxima a hundred
# take more memory than the kernel grants TCP, and it resets some.
_SYSCTLS = ("net.ipv4.tcp_wmem=4096 16384 1048576", "net.ipv4.tcp_rmem=4096 131072 2097152")


class Stall(Scenario):
    """One stream's rate alone, then beside connections that are stalled in both directions."""

    name: ClassVar[str] = "stall"

    # What is kept; then what it is made of.
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("kept", "ratio", "rate beside the stalled connections over the rate alone"),
        Metric("alone", "Gbit/s", "payload the receiving application got, nothing stalled"),
        Metric("beside", "Gbit/s", "the same beside the stalled connections"),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """Both on one start of the candidate: the stalled ones share its connection."""
        count = bench.settings.stalled
        load = iperf.Load(bench.settings.seconds)
        for side in (bench.network.client, bench.network.server):
            netns.run_in(side.pod.netns, ["sysctl", "-qw", *_SYSCTLS])
        with (
            echo_server(bench),
            iperf.server(bench),
            candidate.route(bench, IPERF_PORT) as route,
        ):
            alone = iperf.run(bench, route, load, "rate").values["rate"]
            command = [bench.tools.peer("loadgen"), "stall", f"[{route.host}]:{ECHO_PORT}"]
            with holding(bench, [*command, "--connections", str(count)], count):
                sample = iperf.run(bench, route, load, "rate")
        beside = sample.values["rate"]
        values = {"kept": beside / alone, "alone": alone, "beside": beside}
        return Sample(values, sample.relays, sample.gigabytes, sample.busy_cores, sample.steal)
