"""`hack/bench share`: two flows over one bottleneck, one of them or both kernel TCP."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from benchlib import certificates, machine, network, tools
from benchlib.adapt import flow, sharing
from benchlib.adapt.run import ERRORS
from benchlib.adapt.sharing import FLOWS, Flow, Pair, Settings, Shares
from benchlib.candidates.base import Bench
from benchlib.candidates.stoq import Stoq
from benchlib.certificates import Certificates
from benchlib.output import failed, loads, measured_on, show
from benchlib.settings import Settings as Bulk
from benchlib.tools import Tools
from lab.netlab import path
from lab.netns import Link
from lab.state import State

PORTS = (5202, 5203)
"""Of the two flows."""


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    try:
        chosen, output = sharing.parse(arguments)
        found = tools.find(peers=False)
        about = machine.describe(found.versions())
        seen, failures = run(chosen, found)
    except ERRORS as error:
        print(f"hack/bench share: {error}", file=sys.stderr)
        return 2
    about = {**about, "load_after": round(os.getloadavg()[0], 2)}
    result = {
        "machine": about,
        "command": sharing.command(chosen),
        "results": sharing.figures(seen),
        "failures": failures,
    }
    text = _page(chosen, about, seen, failures)
    show(output, "share", result, text)
    return 1 if failures else 0


def run(chosen: Settings, found: Tools) -> tuple[sharing.Found, list[str]]:
    """Every pair over every path, in turn; what failed is told."""
    seen: dict[Pair, dict[float, list[Shares]]] = {}
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as kept:
        Path(kept).chmod(0o755)
        made = certificates.make(Path(kept))
        for number in range(chosen.rounds):
            for pair in chosen.pairs:
                for buffer in chosen.buffers:
                    label = f"share {'+'.join(pair)} {buffer:g} {number + 1}/{chosen.rounds}"
                    try:
                        shares = measure(chosen, pair, buffer, found, made)
                    except ERRORS as error:
                        failures.append(f"{label}: {error}")
                        print(failures[-1], file=sys.stderr)
                        continue
                    seen.setdefault(pair, {}).setdefault(buffer, []).append(shares)
                    told = f"{shares.first:.1f} and {shares.second:.1f} Mbit/s, {shares.jain:.3f}"
                    print(f"{label}: {told}", file=sys.stderr)
    return seen, failures


def measure(
    chosen: Settings, pair: Pair, buffer: float, found: Tools, made: Certificates
) -> Shares:
    """What the two flows of a pair got, once both had time to settle."""
    flows = [FLOWS[name] for name in pair]

    def link(state: State) -> Link:
        return path.link(state, sharing.schedule(buffer))

    with network.pair(1500, pin=False, link=link) as pods, ExitStack() as stack:
        counts = [stack.enter_context(flow.receiver(pods.server, port)) for port in PORTS]
        ours = next((each.stoq for each in flows if each.stoq), None)
        if ours is not None:
            bench = Bench(Bulk("bulk"), pods, found, made)
            stack.enter_context(_pinned(ours, flows).route(bench, PORTS[0]))
        for each, port, count in zip(flows, PORTS, counts, strict=True):
            target = (pods.server.address, port)
            stack.enter_context(flow.sender(pods.client, target, count, each.tcp))
            time.sleep(chosen.gap)
        time.sleep(chosen.settle - chosen.gap)
        return _shares(counts, chosen.seconds)


def _shares(counts: Sequence[Callable[[], int]], seconds: float) -> Shares:
    before, start = [count() for count in counts], time.monotonic()
    time.sleep(seconds)
    after, elapsed = [count() for count in counts], time.monotonic() - start
    first, second = ((new - old) * 8e-6 / elapsed for old, new in zip(before, after, strict=True))
    return Shares(first, second)


def _pinned(controller: str, flows: Sequence[Flow]) -> Stoq:
    """Sidecars that keep to one controller, and that leave the flows of kernel TCP alone."""
    outside = ",".join(str(port) for each, port in zip(flows, PORTS, strict=True) if each.tcp)

    class Pinned(Stoq):
        environment: ClassVar[Mapping[str, str]] = {
            "STOQ_ADAPT_CONGESTION": controller,
            "STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS": outside,
            "STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS": outside,
        }

    return Pinned()


def _page(
    chosen: Settings, about: Mapping[str, object], seen: sharing.Found, failures: Sequence[str]
) -> str:
    where = f"{measured_on(about)}, {loads(about)}."
    how = (
        f"{sharing.RATE_MBIT:g} Mbit/s, {sharing.RTT_MS:g} ms there and back, and a buffer of so "
        f"many products of the two. The second flow joins after {chosen.gap:g} s; "
        f"{chosen.settle:g} s later both are looked at for {chosen.seconds:g} s. The median of the "
        "rounds with the least and the greatest in brackets."
    )
    lines = ["# share", "", f"`{sharing.command(chosen)}`", "", where, "", how, ""]
    lines += sharing.table(seen)
    return "\n".join([*lines, *failed(failures)]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
