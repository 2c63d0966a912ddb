"""What the resolver counts, and its metrics."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

BOUNDS: Final = (0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0)
"""Seconds: a name server in the cluster answers from its cache in under a millisecond, recursion
takes tens, and above a second it was asked again."""


class Counts:
    """Grows only; read by a scrape."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        """By protocol (`udp`, `tcp`) and outcome."""
        self.stale = 0
        """Answers about our names while the registry was away."""
        self.upstream = 0
        """Queries sent to name servers, repetitions included."""
        self.failures: Counter[str] = Counter()
        """By reason."""
        self.waiting = 0
        """Queries that wait for a name server now."""
        self.tcp_bytes = 0
        """Sent to name servers over TCP."""
        self.udp_bytes = 0
        """The same over UDP, with what the kernel refused to send."""
        self._times = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def took(self, seconds: float) -> None:
        """A name server has answered."""
        self._times[sum(bound < seconds for bound in BOUNDS)] += 1
        self._sum += seconds

    def families(self) -> Iterator[Metric]:
        """The metrics."""
        requests = CounterMetricFamily(
            "stoq_dns_requests",
            "Names asked for, by what came of it",
            labels=("protocol", "answer"),
        )
        for labels, count in self.requests.items():
            requests.add_metric(labels, count)
        yield requests
        yield CounterMetricFamily(
            "stoq_dns_stale_answers",
            "Answers about records while the registry was not connected",
            value=self.stale,
        )
        yield CounterMetricFamily(
            "stoq_dns_upstream_requests", "Queries sent to name servers", value=self.upstream
        )
        failures = CounterMetricFamily(
            "stoq_dns_upstream_failures", "Of these, without a usable answer", labels=("reason",)
        )
        for reason, count in self.failures.items():
            failures.add_metric((reason,), count)
        yield failures
        yield GaugeMetricFamily(
            "stoq_dns_upstream_waiting", "Queries that wait for a name server now",
            value=self.waiting,
        )  # fmt: skip
        yield self._histogram()

    def _histogram(self) -> Metric:
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], self._times, strict=True):
            total += count
            buckets.append((bound, total))
        family = HistogramMetricFamily(
            "stoq_dns_upstream_request_duration_seconds", "Time that name servers took to answer"
        )
        family.add_metric((), buckets, self._sum)
        return family
