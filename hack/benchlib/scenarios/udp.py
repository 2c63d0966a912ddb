"""Datagrams of programs: how many are answered, how soon, and how many bytes arrive."""

import contextlib
import json
from collections.abc import Iterator
from typing import ClassVar

from benchlib import iperf
from benchlib.candidates.base import Bench, Candidate
from benchlib.errors import BenchError
from benchlib.processes import listening, running
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import ECHO_PORT, IPERF_PORT, Observation, Scenario
from benchlib.scenarios.latency import values_of as latencies
from lab.command import run

# Bytes of a datagram that is answered, and of one that only has to arrive. The second fits into a
# packet of every candidate at the least MTU.
ECHO_BYTES = 100
BULK_BYTES = 1000

# Datagrams under way for the rate that is reached.
WINDOW = 64


class Udp(Scenario):
    """Echoes with so many under way, echoes on schedule, and iperf3 as fast as it goes."""

    name: ClassVar[str] = "udp"

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("echoes", "1/s", f"datagrams answered with {WINDOW} under way"),
        Metric("p50", "ms", "at `--rate`: half of the datagrams were answered within this"),
        Metric("p99", "ms", "99 of 100"),
        Metric("bulk", "Gbit/s", "payload that arrived while iperf3 sent all it could"),
        Metric("bulk_lost", "%", "of what it sent"),
        Metric("failed", "datagrams", "of those echoed on schedule: lost, or not sent"),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """All three on one start of the candidate. CPU is that of the bulk."""
        seconds = bench.settings.seconds
        with (
            _echo_server(bench),
            iperf.server(bench),
            candidate.route(bench, ECHO_PORT) as route,
        ):
            target = f"[{route.host}]:{ECHO_PORT}"
            values = echoes(_load(bench, "udp", target, f"--window={WINDOW}"))
            rate = f"--rate={bench.settings.rate:g}"
            found = latencies(_load(bench, "udp-latency", target, rate))
            values |= {name: found[name] for name in ("p50", "p99", "failed")}
            argv = ["iperf3", "-J", "-u", "-b", "0", "-l", str(BULK_BYTES)]
            argv += ["-t", f"{seconds:.0f}", "-c", route.host, "-p", str(IPERF_PORT)]
            observation = Observation(route)
            done = run(bench.network.client.command(argv), timeout=seconds + 30)
            bulk = arrived(done.stdout)
            return observation.sample(values | bulk, bulk["bulk"] / 8 * seconds)


def _load(bench: Bench, command: str, target: str, *options: str) -> str:
    seconds = bench.settings.seconds
    words = [bench.tools.peer("loadgen"), command, target, f"--size={ECHO_BYTES}", *options]
    words.append(f"--seconds={seconds:g}")
    return run(bench.network.client.command(words), timeout=seconds + 30).stdout


@contextlib.contextmanager
def _echo_server(bench: Bench) -> Iterator[None]:
    side = bench.network.server
    command = side.command([bench.tools.peer("loadgen"), "udp-echo", f"[::]:{ECHO_PORT}"])
    with running(bench.network, "udp-echo", command) as process:
        listening(side, ECHO_PORT, process, udp=True)
        yield


def echoes(said: str) -> dict[str, float]:
    """The load generator's JSON as a metric; raises BenchError when nothing was answered."""
    found = json.loads(said)
    if not found["answered"]:
        raise BenchError(f"no datagram was answered, {found['lost']} were lost")
    return {"echoes": float(found["answered_per_second"])}


def arrived(report: str) -> dict[str, float]:
    """iperf3's account of datagrams as metrics; raises BenchError with its own words.

    Its sum is what was sent, over the sender's time; what is lost of it the receiver has said.
    """
    parsed = json.loads(report)
    if "error" in parsed:
        raise BenchError(f"iperf3: {parsed['error']}")
    total = parsed["end"]["sum"]
    lost = float(total["lost_percent"])
    rate = float(total["bits_per_second"]) * (1 - lost / 100)
    return {"bulk": rate / 1e9, "bulk_lost": lost}
