"""Debian's iperf3 as the bulk application."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchlib.candidates.base import Bench, Route
from benchlib.errors import BenchError
from benchlib.processes import listening, running
from benchlib.samples import Sample
from benchlib.scenarios.base import IPERF_PORT, Observation

# Seconds before the measurement: slow start, windows and buffers have grown by then.
WARM_UP = 1.0

# Seconds at both ends of the measurement in which CPU is not observed: setting up and tearing down.
MARGIN = 0.2

# Seconds iperf3 may take to end once its time is over.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent."""

    seconds: float
    streams: int = 1
    bits_per_second: float = 0.0  # over all streams; 0: as fast as it goes


@contextlib.contextmanager
def server(bench: Bench) -> Iterator[None]:
    """iperf3's server on the server side."""
    side = bench.network.server
    command = side.command(["iperf3", "-s", "-p", str(IPERF_PORT)])
    with running(bench.network, "iperf3-server", command) as process:
        listening(side, IPERF_PORT, process)
        yield


def run(bench: Bench, route: Route, load: Load, metric: str) -> Sample:
    """Sends along a route; the sample's one value is what the receiver got, Gbit/s.

    CPU is observed over the measured seconds only, not the warm-up. Raises BenchError with
    iperf3's own words.
    """
    arguments = ["iperf3", "-c", route.host, "-p", str(route.port), "-J"]
    arguments += ["-O", f"{WARM_UP:.0f}", "-t", f"{load.seconds:.0f}", "-P", str(load.streams)]
    if load.bits_per_second:
        arguments += ["-b", f"{load.bits_per_second / load.streams:.0f}"]
    with running(bench.network, "iperf3", bench.network.client.command(arguments)) as client:
        time.sleep(WARM_UP + MARGIN)
        observation = Observation(route)
        time.sleep(max(load.seconds - 2 * MARGIN, MARGIN))
        sample = observation.sample({})
        seconds = observation.elapsed()
        deadline = time.monotonic() + PATIENCE
        while client.running() and time.monotonic() < deadline:
            time.sleep(MARGIN)
        report = client.log.read_text()
    rate = received_rate(report)
    return Sample(
        {metric: rate / 1e9},
        sample.relays,
        rate * seconds / 8e9,
        sample.busy_cores,
        sample.steal,
    )


def received_rate(report: str) -> float:
    """Bits per second that arrived; raises BenchError with iperf3's own words."""
    try:
        parsed = json.loads(report)
    except json.JSONDecodeError as error:
        raise BenchError(f"iperf3 wrote no JSON: {report[-300:]!r}") from error
    if "error" in parsed:
        raise BenchError(f"iperf3: {parsed['error']}")
    return float(parsed["end"]["sum_received"]["bits_per_second"])
