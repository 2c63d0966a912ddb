"""The control process's metrics: names, labels and meaning in one place (docs/metrics.md)."""

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from stoq.api.errors import Status
from stoq_operator.attest import Refusal


class Metrics:
    """Counters and gauges on a registry of their own."""

    def __init__(self) -> None:
        # When a counter began is Prometheus' own knowledge; the extra series only cost.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._issued = Counter(
            "stoq_ca_certificates_issued", "SVIDs signed", registry=self.registry
        )
        self._refused = Counter(
            "stoq_ca_sign_refusals", "Signing requests refused", ["reason"], registry=self.registry
        )
        for reason in Refusal:
            self._refused.labels(reason.value)
        self._root_expiry = Gauge(
            "stoq_ca_root_expiration_timestamp_seconds",
            "End of life of each trusted root",
            ["name", "phase"],
            registry=self.registry,
        )
        self._roots_refused = Gauge(
            "stoq_ca_roots_refused",
            "1 while the roots that are kept can not be used; the log says why",
            registry=self.registry,
        )
        self._own_expiry = Gauge(
            "stoq_control_svid_expiration_timestamp_seconds",
            "End of life of the control process's own SVID",
            registry=self.registry,
        )
        self._revoked = Gauge(
            "stoq_ca_revoked_certificates", "Certificates on the list", registry=self.registry
        )
        self._version = Gauge(
            "stoq_registry_version", "Version of the registry's index", registry=self.registry
        )
        self._entries = Gauge(
            "stoq_registry_entries", "Entries of the index", ["type"], registry=self.registry
        )
        self._watchers = Gauge(
            "stoq_registry_watchers", "Watch streams that are open", registry=self.registry
        )
        self._messages = Counter(
            "stoq_registry_messages", "Messages sent to watchers", ["type"], registry=self.registry
        )
        self._calls = Counter(
            "stoq_api_calls", "Calls served", ["method", "status"], registry=self.registry
        )
        self._problems = Gauge(
            "stoq_store_problems",
            "Manifests that can not be used; the log says which and why",
            registry=self.registry,
        )
        self._leads = Gauge(
            "stoq_control_leader", "1 on the replica that writes", registry=self.registry
        )
        self._leads.set(1)
        self._brokers = Gauge(
            "stoq_broker_pods", "Pods whose sockets this process holds", registry=self.registry
        )

    def issued(self) -> None:
        """An SVID was signed."""
        self._issued.inc()

    def refused(self, reason: Refusal) -> None:
        """A signing was refused."""
        self._refused.labels(reason.value).inc()

    def roots(self, roots: Mapping[tuple[str, str], int]) -> None:
        """The trusted roots: end of life by (name, phase)."""
        self._root_expiry.clear()
        for (name, phase), expires in roots.items():
            self._root_expiry.labels(name, phase).set(expires)

    def roots_refused(self, refused: Callable[[], bool]) -> None:
        """Where to read whether the roots that are kept can not be used; without, they can."""
        self._roots_refused.set_function(lambda: float(refused()))

    def own_svid(self, expires: int) -> None:
        """The control process has a new SVID."""
        self._own_expiry.set(expires)

    def revoked(self, count: int) -> None:
        """Length of the revocation list."""
        self._revoked.set(count)

    def index(self, version: int, counts: Mapping[str, int]) -> None:
        """The index has moved on."""
        self._version.set(version)
        for type_, count in counts.items():
            self._entries.labels(type_).set(count)

    def watcher_came(self) -> None:
        """A watch stream was opened."""
        self._watchers.inc()

    def watcher_left(self) -> None:
        """A watch stream has ended."""
        self._watchers.dec()

    def sent(self, type_: str) -> None:
        """A message went to a watcher."""
        self._messages.labels(type_).inc()

    def call(self, method: str, status: Status) -> None:
        """A call ended; `method` is empty when it is none of ours, so callers add no labels."""
        self._calls.labels(method or "unknown", status.value).inc()

    def problems(self, count: int) -> None:
        """Manifests that can not be used."""
        self._problems.set(count)

    def leads(self, leads: Callable[[], bool]) -> None:
        """Where to read whether this replica is the one that writes; without, it is."""
        self._leads.set_function(lambda: float(leads()))

    def brokers(self, count: Callable[[], float]) -> None:
        """Where to read the number of served pods."""
        self._brokers.set_function(count)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
