"""The agent's metrics: names, labels and meaning in one place (docs/metrics.md)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stoq_node.barred import Barred
from stoq_node.bypass import Bypasses
from stoq_node.capabilities import Capability
from stoq_node.captures import Captures
from stoq_node.enforce import Enforcer
from stoq_node.shutter import HOW
from stoq_node.speeds import Measured
from stoq_node.splicing import Splicer
from stoq_node.uplink import Uplink

STRICT_LABELS: Final = ("namespace", "pod", "direction", "reason", "verdict")
ACCOUNT_LABELS: Final = ("namespace", "pod", "direction", "class")


class Metrics(Collector):
    """Reads the kernel's maps when it is asked."""

    def __init__(
        self,
        capabilities: Iterable[Capability],
        enforcer: Enforcer | Barred | None,
        uplink: Uplink,
        captures: Captures | None,
        bypasses: Bypasses | None,
        splicer: Splicer | None,
        measured: Measured | None,
        stale: Callable[[], bool],
    ) -> None:
        self._capabilities = tuple(capabilities)
        self._enforcer = enforcer
        self._uplink = uplink
        self._captures = captures
        self._bypasses = bypasses
        self._splicer = splicer
        self._measured = measured
        self._stale = stale
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(self)

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on the node, and registering shall not read the maps."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family with its samples."""
        can = GaugeMetricFamily(
            "stoq_node_capability", "1 if the node can; the reason is in the log", labels=["name"]
        )
        for one in self._capabilities:
            can.add_metric([one.name], float(one.supported))
        yield can
        yield GaugeMetricFamily(
            "stoq_node_pods_stale",
            "1 while the list of pods cannot be read and the last one holds",
            value=float(self._stale()),
        )
        if self._enforcer is not None:
            yield _shut(self._enforcer)
        if isinstance(self._enforcer, Barred):
            yield _pods(enforced=0, waiting=0, failed=len(self._enforcer.failed))
        elif self._enforcer is not None:
            yield from _enforced(self._enforcer)
        yield from _guarded(self._uplink)
        if self._captures is not None:
            yield _captured(self._captures)
        if self._bypasses is not None:
            yield from _bypassed(self._bypasses)
        if self._splicer is not None:
            yield from _spliced(self._splicer)
        if self._measured is not None:
            yield from _competed(self._measured)


def _shut(enforcer: Enforcer | Barred) -> Metric:
    shut = GaugeMetricFamily(
        "stoq_node_shut_links",
        "Links of strict pods that nothing passes since strict mode could not be put on them",
        labels=["how"],
    )
    for how in HOW:
        shut.add_metric([how], enforcer.shut[how])
    return shut


def _pods(**states: int) -> Metric:
    pods = GaugeMetricFamily("stoq_node_pods", "Pods by state", labels=["state"])
    for state, number in states.items():
        pods.add_metric([state], number)
    return pods


def _enforced(enforcer: Enforcer) -> Iterator[Metric]:
    enforcer.read()
    yield _pods(
        enforced=enforcer.in_force, waiting=len(enforcer.waiting), failed=len(enforcer.failed)
    )
    made = CounterMetricFamily(
        "stoq_node_attachments", "Links made, repairs among them", labels=["program"]
    )
    for program, number in sorted(enforcer.attached.items()):
        made.add_metric([program], number)
    yield made
    for unit, sums in (("packets", enforcer.tally.packets), ("bytes", enforcer.tally.bytes)):
        strict = CounterMetricFamily(
            f"stoq_node_strict_{unit}", f"Of pods, {unit} by reason", labels=STRICT_LABELS
        )
        account = CounterMetricFamily(
            f"stoq_node_account_{unit}", f"Of pods, {unit} by class", labels=ACCOUNT_LABELS
        )
        for key, number in sorted(sums.items()):
            # An account has no verdict.
            family, labels = (strict, key) if key[4] else (account, key[:4])
            family.add_metric(labels, number)
        yield strict
        yield account
    lost = CounterMetricFamily(
        "stoq_node_unenrolled_packets",
        "Dropped on links of pods that could not be enrolled",
        labels=["direction"],
    )
    for direction, packets, _ in enforcer.unenrolled():
        lost.add_metric([direction], packets)
    yield lost


def _captured(captures: Captures) -> Metric:
    pods = GaugeMetricFamily(
        "stoq_node_capture_pods", "Pods in capture mode node, by state", labels=["state"]
    )
    pods.add_metric(["served"], captures.serving)
    pods.add_metric(["waiting"], captures.waiting)
    pods.add_metric(["refused"], len(captures.failed))
    return pods


def _spliced(splicer: Splicer) -> Iterator[Metric]:
    splicer.read()
    yield GaugeMetricFamily(
        "stoq_node_splice_pairs", "Pairs of pods and a port that are joined", value=splicer.pairs
    )
    yield GaugeMetricFamily(
        "stoq_node_splice_failed", "Pods that could not be joined", value=len(splicer.failed)
    )
    yield CounterMetricFamily(
        "stoq_node_splice_resets",
        "Connections that ended with the agreement of their pods",
        value=splicer.resets,
    )
    for unit, sums in (("packets", splicer.packets), ("bytes", splicer.bytes)):
        sent = CounterMetricFamily(
            f"stoq_node_splice_{unit}",
            f"{unit.capitalize()} that left pods past their sidecars, joined with another",
            labels=["namespace", "pod"],
        )
        for pod, number in sorted(sums.items()):
            sent.add_metric(pod.split("/", 1), number)
        yield sent


def _competed(measured: Measured) -> Iterator[Metric]:
    bulk = GaugeMetricFamily(
        "stoq_node_af_xdp_trial_bytes_per_second",
        "What one connection over a veth carried when the agent started",
        labels=["way"],
    )
    trips = GaugeMetricFamily(
        "stoq_node_af_xdp_trial_requests_per_second",
        "Requests of 1 KiB, one after another, that it answered",
        labels=["way"],
    )
    for way, speed in (("af-xdp", measured.af_xdp), ("sockets", measured.sockets)):
        bulk.add_metric([way], speed.bulk)
        trips.add_metric([way], speed.trips)
    yield bulk
    yield trips


def _bypassed(bypasses: Bypasses) -> Iterator[Metric]:
    pods = GaugeMetricFamily(
        "stoq_node_bypass_pods", "Pods by what is known of their plaintext", labels=["state"]
    )
    for state, number in bypasses.states.items():
        pods.add_metric([state], number)
    yield pods
    size = CounterMetricFamily(
        "stoq_node_bypass_bytes",
        "Payload that left pods in plaintext past their sidecars",
        labels=["namespace", "pod", "protocol"],
    )
    for labels, number in sorted(bypasses.bytes.items()):
        size.add_metric(labels, number)
    yield size


def _guarded(uplink: Uplink) -> Iterator[Metric]:
    mode = GaugeMetricFamily(
        "stoq_node_guard", "1 at the mode that the guard runs in", labels=["interface", "mode"]
    )
    mode.add_metric([uplink.interface, uplink.mode], 1)
    yield mode
    packets = CounterMetricFamily(
        "stoq_node_guard_packets", "Packets by verdict", labels=["verdict"]
    )
    size = CounterMetricFamily("stoq_node_guard_bytes", "Bytes by verdict", labels=["verdict"])
    for verdict, number, volume in uplink.counts():
        packets.add_metric([verdict], number)
        size.add_metric([verdict], volume)
    yield packets
    yield size
