"""What a trace prints: lines for people, objects for programs. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from stoq.capture.plan import Address
from stoq_node.pods import Pod
from stoq_node.trace.places import Place
from stoq_node.trace.records import PROTOCOLS, Event, Flow, Latency, Owner
from stoq_node.trace.verdict import Verdict

MOST: Final = 4096
"""As many latencies as the kernel's side keeps."""

WIDTH: Final = 30
"""Characters of a histogram's longest bar."""


@dataclass(slots=True)
class Totals:
    """Of the whole trace."""

    seconds: float = 0.0
    flows: dict[str, int] = field(default_factory=lambda: {"bypass": 0, "allowed": 0, "mesh": 0})
    lost_flows: int = 0
    lost_drops: int = 0


class Printer(Protocol):
    """How it is printed. `now` is the time of day; all lines come with their end."""

    @property
    def most(self) -> int:
        """How many latencies are shown at a time: those with the most answers."""

    def begin(self) -> str:
        """Before everything else."""

    def connection(self, now: str, place: Place, event: Event, verdict: Verdict) -> str:
        """One connection, when it begins."""

    def latency(self, now: str, place: Place, flow: Flow, latency: Latency, path: str) -> str:
        """The answers of one connection; `path` is the kind of its verdict."""

    def drops(self, now: str, pod: str, reason: str, kind: str, packets: int) -> str:
        """Packets that the kernel has dropped since it was last said."""

    def notice(self, now: str, about: str, text: str) -> str:
        """What else there is to know."""

    def end(self, totals: Totals) -> str:
        """At the end."""


class Json:
    """One object a line; `kind` says which."""

    most = MOST

    def begin(self) -> str:
        """kind = begin: from now on it sees."""
        return _line(kind="begin")

    def connection(self, now: str, place: Place, event: Event, verdict: Verdict) -> str:
        """kind = connection."""
        return _line(
            kind="connection",
            time=now,
            **_where(place, event.flow),
            direction="out" if event.opened_here else "in",
            **_who(event.owner),
            verdict=verdict.kind,
            strict=verdict.strict,
            why=verdict.why,
        )

    def latency(self, now: str, place: Place, flow: Flow, latency: Latency, path: str) -> str:
        """kind = latency; `histogram` has the lower limit of each slot in µs, and its count."""
        slots = ({"from_us": _from(n), "count": c} for n, c in enumerate(latency.slots) if c)
        return _line(
            kind="latency",
            time=now,
            **_where(place, flow),
            **_who(latency.owner),
            path=path,
            connect_us=latency.connect_us,
            answers=sum(latency.slots),
            histogram=list(slots),
        )

    def drops(self, now: str, pod: str, reason: str, kind: str, packets: int) -> str:
        """kind = drops; `pod` is null for the rest of the node."""
        return _line(
            kind="drops",
            time=now,
            pod=pod or None,
            reason=reason,
            ethertype=kind,
            packets=packets,
        )

    def notice(self, now: str, about: str, text: str) -> str:
        """kind = notice."""
        return _line(kind="notice", time=now, about=about, text=text)

    def end(self, totals: Totals) -> str:
        """kind = end."""
        return _line(
            kind="end",
            seconds=round(totals.seconds, 1),
            **totals.flows,
            lost_flows=totals.lost_flows,
            lost_drops=totals.lost_drops,
        )


class Table:
    """Lines for a terminal. Names of programs can not write to it as they like: those are text of
    whoever runs them.
    """

    most = 10

    def begin(self) -> str:
        """The heads of the columns."""
        return f"{'TIME':8} {'POD':22} {'PID':>7} {'COMM':15} {'UID':>5} CONNECTION, VERDICT\n"

    def connection(self, now: str, place: Place, event: Event, verdict: Verdict) -> str:
        """One line."""
        flow, owner = event.flow, event.owner
        if event.opened_here:
            way = f"to {_end(flow.remote, flow.remote_port)}"
        else:
            way = f"from {_end(flow.remote, flow.remote_port)} to port {flow.local_port}"
        pid = owner.pid if owner.pid is not None else "?"
        uid = owner.uid if owner.uid is not None else "?"
        strict = "; strict mode drops it" if verdict.strict else ""
        return (
            f"{now[11:19]} {_label(place.pod):22} {pid:>7} {_comm(owner):15} {uid:>5} "
            f"{PROTOCOLS[flow.protocol]} {way}  {verdict.kind}: {verdict.why}{strict}\n"
        )

    def latency(self, now: str, place: Place, flow: Flow, latency: Latency, path: str) -> str:
        """One line, and one for each slot of the histogram."""
        first = (
            f"{now[11:19]} {_label(place.pod):22} {_comm(latency.owner)} "
            f"{PROTOCOLS[flow.protocol]} to {_end(flow.remote, flow.remote_port)} ({path}): "
            f"{sum(latency.slots)} answers"
        )
        if latency.connect_us is not None:
            first += f", connected in {_time(latency.connect_us)}"
        used = [number for number, count in enumerate(latency.slots) if count]
        lines = [first]
        for number in range(used[0], used[-1] + 1) if used else ():
            count = latency.slots[number]
            bar = "#" * -(-count * WIDTH // max(latency.slots))
            lines.append(f"{'from ' + _time(_from(number)):>21} {bar:{WIDTH}} {count}")
        return "\n".join(lines) + "\n"

    def drops(self, now: str, pod: str, reason: str, kind: str, packets: int) -> str:
        """One line."""
        return f"{now[11:19]} {pod or 'the node':22} dropped {packets} {kind}: {reason}\n"

    def notice(self, now: str, about: str, text: str) -> str:
        """One line."""
        return f"{now[11:19]} {about:22} {text}\n"

    def end(self, totals: Totals) -> str:
        """The last line."""
        flows = ", ".join(f"{count} {kind}" for kind, count in totals.flows.items())
        return (
            f"{totals.seconds:.1f} s: {flows}; "
            f"lost {totals.lost_flows} connections and {totals.lost_drops} drops\n"
        )


def _line(**values: Any) -> str:
    return json.dumps(values, separators=(",", ":")) + "\n"


def _where(place: Place, flow: Flow) -> Mapping[str, Any]:
    return {
        "pod": _label(place.pod),
        "netns": place.namespace,
        "protocol": PROTOCOLS[flow.protocol],
        "local": _end(flow.local, flow.local_port),
        "remote": _end(flow.remote, flow.remote_port),
    }


def _who(owner: Owner) -> Mapping[str, Any]:
    return {"pid": owner.pid, "comm": owner.comm or None, "uid": owner.uid}


def _comm(owner: Owner) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in owner.comm) or "?"


def _label(pod: Pod) -> str:
    return pod.key if pod.namespace else pod.name


def _end(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _from(slot: int) -> int:
    return 1 << slot - 1 if slot else 0


def _time(microseconds: int) -> str:
    if microseconds < 1000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.3g} ms"
    return f"{microseconds / 1_000_000:.3g} s"
