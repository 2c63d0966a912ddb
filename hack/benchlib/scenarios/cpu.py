"""What carrying bytes costs: at 1 Gbit/s, at full rate, and doing nothing."""

import time
from typing import ClassVar

from benchlib import iperf
from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import IPERF_PORT, Observation, Scenario

MODERATE = 1e9  # bits per second

SIDES = ("client", "server")


def _per_gb(name: str, meaning: str) -> Metric:
    return Metric(name, "CPU-s/GB", meaning)


class Cpu(Scenario):
    """CPU of each side's relay."""

    name: ClassVar[str] = "cpu"

    # Three loads by two sides, and the whole machine at the moderate one.
    metrics: ClassVar[tuple[Metric, ...]] = (
        *(_per_gb(f"moderate_{side}", f"{side} side's relay at 1 Gbit/s") for side in SIDES),
        *(_per_gb(f"full_{side}", f"{side} side's relay at full rate") for side in SIDES),
        *(Metric(f"idle_{side}", "mCPU", f"{side} side's relay without load") for side in SIDES),
        _per_gb(
            "moderate_machine",
            "whole machine at 1 Gbit/s, iperf3 and interrupts included",
        ),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """Idle, then 1 Gbit/s, then full rate, on one start of the candidate."""
        settings = bench.settings
        moderate = iperf.Load(settings.seconds, settings.streams, MODERATE)
        full = iperf.Load(settings.seconds, settings.streams)
        with iperf.server(bench), candidate.route(bench, IPERF_PORT) as route:
            values = _idle(route, settings.seconds)
            at_moderate = iperf.run(bench, route, moderate, "rate")
            at_full = iperf.run(bench, route, full, "rate")
        for side in SIDES:
            for load, sample in (("moderate", at_moderate), ("full", at_full)):
                if (cost := sample.cpu_per_gb(side)) is not None:
                    values[f"{load}_{side}"] = cost
        rate = at_moderate.values["rate"] / 8
        values["moderate_machine"] = at_moderate.busy_cores / rate
        return Sample(
            values,
            at_moderate.relays,
            at_moderate.gigabytes,
            at_moderate.busy_cores,
            at_moderate.steal,
        )


def _idle(route: Route, seconds: float) -> dict[str, float]:
    time.sleep(min(seconds, 2.0))
    observation = Observation(route)
    time.sleep(seconds)
    elapsed = observation.elapsed()
    relays = observation.sample({}).relays
    return {f"idle_{side}": use.cpu_seconds / elapsed * 1000 for side, use in relays.items()}
