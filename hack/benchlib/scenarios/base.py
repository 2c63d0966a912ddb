"""What every scenario has, and the observation of CPU and memory they share."""

import abc
import time
from collections.abc import Mapping
from typing import ClassVar

from benchlib import procfs
from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.samples import Metric, RelayUse, Sample

# Ports of the applications. Below the ephemeral range of the namespaces.
IPERF_PORT = 5201
ECHO_PORT = 7007


class Scenario(abc.ABC):
    """One kind of measurement."""

    name: ClassVar[str]

    # Its columns; the first is the one that headline ratios are about.
    metrics: ClassVar[tuple[Metric, ...]]

    @abc.abstractmethod
    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """Brings the candidate up, measures once and takes it down."""


class Observation:
    """CPU used by a route's relays and by the machine since it was made."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._relays = {side: procfs.cpu_seconds(relay.pid) for side, relay in route.relays.items()}
        self._machine = procfs.machine_time()
        self._start = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._start

    def sample(self, values: Mapping[str, float], gigabytes: float = 0.0) -> Sample:
        """Ends the observation."""
        machine, seconds = procfs.machine_time(), self.elapsed()
        relays = {
            side: RelayUse(
                procfs.cpu_seconds(relay.pid) - self._relays[side], procfs.rss_mb(relay.pid)
            )
            for side, relay in self._route.relays.items()
        }
        return Sample(
            dict(values),
            relays,
            gigabytes,
            (machine.busy - self._machine.busy) / seconds,
            (machine.steal - self._machine.steal) / seconds,
        )
