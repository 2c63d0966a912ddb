"""What one measurement yields, and what its numbers mean."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of results."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class RelayUse:
    """What one side's relay used."""

    cpu_seconds: float  # while `Sample.gigabytes` were carried
    rss_mb: float  # at the end


@dataclass(frozen=True, slots=True)
class Sample:
    """One candidate, once."""

    values: dict[str, float]  # by metric name
    relays: dict[str, RelayUse] = field(default_factory=dict)  # by `report.SIDES`
    gigabytes: float = 0.0  # of payload carried meanwhile, 10^9 bytes
    busy_cores: float = 0.0  # of the whole machine, applications and interrupts included
    steal: float = 0.0  # cores the hypervisor gave to others

    def cpu_per_gb(self, side: str) -> float | None:
        """CPU-seconds of one relay per GB; None without a relay or bulk data."""
        relay = self.relays.get(side)
        if relay is None or self.gigabytes <= 0:
            return None
        return relay.cpu_seconds / self.gigabytes
