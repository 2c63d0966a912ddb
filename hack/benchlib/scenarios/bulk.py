"""How fast bytes go: iperf3, any number of streams."""

import contextlib
import json
from collections.abc import Sequence
from typing import ClassVar

from benchlib import iperf
from benchlib.candidates.base import Bench, BulkLoad, Candidate, Route
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import IPERF_PORT, Observation, Scenario
from lab.command import run


class Bulk(Scenario):
    """Throughput, with what it costs."""

    name: ClassVar[str] = "bulk"

    # One: what the application got.
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("throughput", "Gbit/s", "payload the receiving application got"),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """iperf3 through the candidate."""
        with contextlib.ExitStack() as stack:
            if not isinstance(candidate, BulkLoad):
                stack.enter_context(iperf.server(bench))
            route = stack.enter_context(candidate.route(bench, IPERF_PORT))
            if isinstance(candidate, BulkLoad):
                return _own_load(bench, route, candidate.bulk_command(bench, route))
            load = iperf.Load(bench.settings.seconds, bench.settings.streams)
            return iperf.run(bench, route, load, "throughput")


def _own_load(bench: Bench, route: Route, load: Sequence[str]) -> Sample:
    observation = Observation(route)
    command = bench.network.client.command(load, as_relay=True)
    result = json.loads(run(command, timeout=bench.settings.seconds + 30).stdout)
    return observation.sample(
        {"throughput": result["bits_per_second"] / 1e9}, result["bytes"] / 1e9
    )
