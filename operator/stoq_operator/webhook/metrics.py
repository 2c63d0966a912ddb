"""The webhook's metrics: names, labels and meaning in one place (docs/metrics.md)."""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Seconds; the budget is 0.02 at P99, as the API server measures it."""


class Metrics:
    """Counters and gauges on a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._injections = Counter(
            "stoq_injections",
            "Pods the API server asked about",
            ["outcome", "reason"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "stoq_injection_seconds",
            "Time from the request being read to its answer",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._events = Counter(
            "stoq_injection_events",
            "Events about pods that are left out",
            ["result"],
            registry=self.registry,
        )
        for result in ("written", "failed", "dropped"):
            self._events.labels(result)

    def injection(self, outcome: str, reason: str, seconds: float) -> None:
        """A request was answered."""
        self._injections.labels(outcome, reason).inc()
        self._seconds.observe(seconds)

    def event(self, result: str) -> None:
        """An event was `written`, `failed`, or `dropped` since too many wait."""
        self._events.labels(result).inc()

    def page(self) -> bytes:
        """The page of /metrics."""
        return generate_latest(self.registry)
