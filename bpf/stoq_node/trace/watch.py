"""A trace that runs: what the kernel writes becomes lines."""

import sys
import time
from collections import OrderedDict
from datetime import datetime
from typing import Final

from stoq_node import links
from stoq_node.pods import Pod
from stoq_node.trace import namespaces, owners, reasons
from stoq_node.trace.bcc import Program
from stoq_node.trace.places import Filter, Numbers, choose
from stoq_node.trace.records import Drop, Event, Flow
from stoq_node.trace.show import Printer, Totals
from stoq_node.trace.verdict import judge

PLACES_SECONDS: Final = 1.0
"""Between two looks for the namespaces of pods."""

REMEMBERED: Final = 16_384
"""Verdicts that are kept for the latencies of their flows: as many as the kernel's side keeps."""


class Watch:
    """Looks and prints. `format_text` is that of the tracepoint of drops."""

    def __init__(
        self, program: Program, printer: Printer, wanted: Filter, format_text: str
    ) -> None:
        self._pods: tuple[Pod, ...] = ()
        self._program = program
        self._printer = printer
        self._wanted = wanted
        self._reasons = reasons.names(format_text)
        self._numbers = Numbers()
        self._without: dict[str, str] = {}
        self._verdicts: OrderedDict[Flow, str] = OrderedDict()
        self._drops: dict[Drop, int] = {}
        self._answers: dict[Flow, int] = {}
        self._lost = (0, 0)
        self._totals = Totals()
        self._began = self._looked = time.monotonic()

    def begin(self, pods: tuple[Pod, ...], no_latency: str) -> None:
        """Watches `pods`, then prints the head: who reads it knows that nothing is missed from
        here on. `no_latency` says why latencies are not measured.
        """
        notices = self._place(pods)
        self._say(self._printer.begin())
        if no_latency:
            self._say(self._printer.notice(_now(), "trace", no_latency))
        self._say(notices)
        sys.stdout.flush()

    def tick(self, pods: tuple[Pod, ...]) -> None:
        """Follows `pods`, and prints the connections since the last call."""
        if pods != self._pods or time.monotonic() - self._looked >= PLACES_SECONDS:
            self._say(self._place(pods))
        for event in self._program.events():
            self._connection(event)
        sys.stdout.flush()

    def report(self) -> None:
        """Prints latencies and drops since the last call."""
        now = _now()
        self._latencies(now)
        drops = self._program.drops()
        for drop, packets in sorted(drops.items(), key=lambda item: -item[1]):
            place = self._numbers.get(drop.place)
            more = packets - self._drops.get(drop, 0)
            if more and (place is not None or self._wanted.everything):
                pod = place.pod if place is not None else None
                label = "" if pod is None else pod.key if pod.namespace else pod.name
                reason = reasons.name(drop.reason, self._reasons)
                kind = reasons.ethertype(drop.ethertype)
                self._say(self._printer.drops(now, label, reason, kind, more))
        self._drops = drops
        lost = self._program.lost()
        if lost != self._lost:
            text = f"lost {lost[0]} connections and {lost[1]} drops: more than there was room for"
            self._say(self._printer.notice(now, "trace", text))
            self._lost = lost
        sys.stdout.flush()

    def end(self) -> None:
        """Prints what is left, and the sums."""
        self.tick(self._pods)
        self.report()
        self._totals.seconds = time.monotonic() - self._began
        self._totals.lost_flows, self._totals.lost_drops = self._lost
        self._say(self._printer.end(self._totals))
        sys.stdout.flush()

    def _latencies(self, now: str) -> None:
        latencies = self._program.latencies()
        # Like the map of the kernel, it does not grow.
        answers = {flow: sum(latency.slots) for flow, latency in latencies.items()}
        news = [flow for flow, count in answers.items() if count > self._answers.get(flow, 0)]
        news.sort(key=lambda flow: self._answers.get(flow, 0) - answers[flow])
        self._answers = answers
        for flow in news[: self._printer.most]:
            if (place := self._numbers.get(flow.place)) is not None:
                path = self._verdicts.get(flow, "mesh")
                self._say(self._printer.latency(now, place, flow, latencies[flow], path))
        if more := len(news[self._printer.most :]):
            text = f"{more} more connections had answers; --json shows all"
            self._say(self._printer.notice(now, "trace", text))

    def _place(self, pods: tuple[Pod, ...]) -> str:
        """Watches what there is to be watched of `pods`. Returns lines about the others."""
        self._pods, self._looked = pods, time.monotonic()
        indexes = links.names()
        wanted = [indexes[pod.interface] for pod in pods if pod.interface in indexes]
        behind = namespaces.behind(wanted, namespaces.paths()) if wanted else {}
        places, without = choose(pods, indexes, behind, self._wanted)
        self._program.watch(self._numbers.set(places, namespaces.own()))
        news = {key: why for key, why in without.items() if self._without.get(key) != why}
        self._without = without
        return "".join(
            self._printer.notice(_now(), key, f"not watched: {why}") for key, why in news.items()
        )

    def _connection(self, event: Event) -> None:
        place = self._numbers.get(event.flow.place)
        if place is None:
            return
        verdict = judge(event, place.pod)
        self._totals.flows[verdict.kind] += 1
        self._verdicts[event.flow] = verdict.kind
        if len(self._verdicts) > REMEMBERED:
            self._verdicts.popitem(last=False)
        if verdict.kind == "mesh":
            return
        if not event.opened_here and event.owner.pid is None:
            flow = event.flow
            owner = owners.of_port(place.namespace, flow.protocol, flow.local_port)
            event = Event(flow, owner, event.opened_here)
        self._say(self._printer.connection(_now(), place, event, verdict))

    def _say(self, text: str) -> None:
        sys.stdout.write(text)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
