"""Percentiles, of samples and of Prometheus histograms. Pure."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that is at least as large as `share` (0 to 1) of them; NaN for none."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of a Prometheus histogram: how many were at most each bound (seconds)."""

    bounds: tuple[tuple[float, float], ...]
    """Bound and cumulative count, ascending; the last bound is infinite."""
    total: float
    """Sum of everything observed, seconds."""

    @property
    def count(self) -> float:
        """How many were observed."""
        return self.bounds[-1][1] if self.bounds else 0.0

    def since(self, before: "Histogram") -> "Histogram":
        """What was observed since `before`, an earlier reading of the same."""
        known = dict(before.bounds)
        return Histogram(
            tuple((bound, count - known.get(bound, 0.0)) for bound, count in self.bounds),
            self.total - before.total,
        )

    def quantile(self, share: float) -> float:
        """As Prometheus' `histogram_quantile`: linear inside of a bucket. NaN without samples."""
        if not self.count:
            return math.nan
        wanted = share * self.count
        low, seen = 0.0, 0.0
        for bound, count in self.bounds:
            if count >= wanted and count > seen:
                if math.isinf(bound):
                    return low
                return low + (bound - low) * (wanted - seen) / (count - seen)
            low, seen = bound, count
        return low


def histogram(page: str, metric: str, /, **labels: str) -> Histogram:
    """The histogram `metric` on a page of Prometheus text, summed over all series with `labels`."""
    bounds: dict[float, float] = {}
    total = 0.0
    for line in page.splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match["name"] not in {f"{metric}_bucket", f"{metric}_sum"}:
            continue
        found = dict(_LABEL.findall(match["labels"] or ""))
        if any(found.get(key) != value for key, value in labels.items()):
            continue
        value = float(match["value"])
        if match["name"].endswith("_sum"):
            total += value
        else:
            bound = float(found["le"])
            bounds[bound] = bounds.get(bound, 0.0) + value
    return Histogram(tuple(sorted(bounds.items())), total)


_LINE = re.compile(r"(?P<name>[a-zA-Z_:]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'([a-zA-Z_]+)="([^"]*)"')
