"""Rounds of samples as one JSON object."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchlib.samples import Metric, RelayUse, Sample
from benchlib.settings import OURS, Settings
from benchlib.spread import Spread, ratios

SIDES = ("client", "server", "gateway")

Json = dict[str, object]


@dataclass(slots=True)
class Rounds:
    """Every candidate's samples, one for each round it ran in."""

    settings: Settings
    metrics: tuple[Metric, ...]
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)  # candidate, what went wrong

    def add(self, candidate: str, sample: Sample) -> None:
        """One more round of a candidate."""
        self.samples.setdefault(candidate, []).append(sample)

    def values(self, candidate: str, metric: Metric) -> list[float]:
        """A metric round by round; empty where the candidate has none."""
        samples = self.samples.get(candidate, [])
        return [s.values[metric.name] for s in samples if metric.name in s.values]

    def spread(self, candidate: str, metric: Metric) -> Spread | None:
        """A metric over all rounds."""
        values = self.values(candidate, metric)
        return Spread.of(values) if values else None

    def ratio(self, peer: str, metric: Metric) -> Spread | None:
        """Ours over a peer's."""
        return ratios(self.values(OURS, metric), self.values(peer, metric))


def to_json(rounds: Rounds, machine: Mapping[str, object]) -> Json:
    """Machine, settings, results[], and ratios keyed by peer: ours over theirs.

    `ratios` is about the first metric; `ratios_by_metric` has all of them.
    """
    by_metric = {metric.name: _ratios(rounds, metric) for metric in rounds.metrics}
    steal = [sample.steal for samples in rounds.samples.values() for sample in samples]
    return {
        "machine": {
            **machine,
            "steal_cores": round(statistics.fmean(steal), 4) if steal else 0.0,
        },
        "settings": dataclasses.asdict(rounds.settings),
        "results": [
            result
            for candidate in rounds.samples
            for metric in rounds.metrics
            if (result := _result(rounds, candidate, metric))
        ],
        "ratios": by_metric[rounds.metrics[0].name],
        "ratios_by_metric": by_metric,
        "failures": [{"candidate": who, "error": what} for who, what in rounds.failures],
    }


def _ratios(rounds: Rounds, metric: Metric) -> Json:
    peers = [candidate for candidate in rounds.samples if candidate != OURS]
    found = {peer: rounds.ratio(peer, metric) for peer in peers}
    return {peer: _spread(ratio, 4) for peer, ratio in found.items() if ratio is not None}


def _result(rounds: Rounds, candidate: str, metric: Metric) -> Json | None:
    spread = rounds.spread(candidate, metric)
    if spread is None:
        return None
    samples = rounds.samples[candidate]
    return {
        "candidate": candidate,
        "metric": metric.name,
        "value": _spread(spread, 4),
        "unit": metric.unit,
        "rounds": [round(value, 4) for value in rounds.values(candidate, metric)],
        # All relays together, and each.
        "cpu_seconds_per_gb": total_cpu_per_gb(samples),
        "rss_mb": _largest_rss(samples),
        "relays": {side: relay for side in SIDES if (relay := _relay(samples, side))},
        "busy_cores": round(statistics.median(s.busy_cores for s in samples), 3),
    }


def total_cpu_per_gb(samples: Sequence[Sample]) -> float | None:
    """CPU-seconds of all relays per GB, the median of the rounds."""
    totals = []
    for sample in samples:
        costs = [cost for side in SIDES if (cost := sample.cpu_per_gb(side)) is not None]
        if costs:
            totals.append(sum(costs))
    return round(statistics.median(totals), 4) if totals else None


def _largest_rss(samples: Sequence[Sample]) -> float | None:
    sizes = [relay.rss_mb for sample in samples for relay in sample.relays.values()]
    return round(max(sizes), 1) if sizes else None


def _relay(samples: Sequence[Sample], side: str) -> Json | None:
    uses: list[RelayUse] = [s.relays[side] for s in samples if side in s.relays]
    if not uses:
        return None
    costs = [cost for s in samples if (cost := s.cpu_per_gb(side)) is not None]
    return {
        "cpu_seconds_per_gb": round(statistics.median(costs), 4) if costs else None,
        "rss_mb": round(statistics.median(use.rss_mb for use in uses), 1),
    }


def _spread(spread: Spread, digits: int) -> dict[str, float]:
    return {key: round(value, digits) for key, value in dataclasses.asdict(spread).items()}
