"""What a meshed flow keeps during a blast at its server's port, which comes from where it comes
from; beside a blast at a sink, which takes the same from the machine.
"""

from statistics import fmean
from typing import Final

from benchlib import iperf
from benchlib.candidates.base import Bench, Route
from benchlib.node.blast import Blast, sent
from benchlib.node.meshed import meshed
from benchlib.node.programs import Programs
from benchlib.node.settings import Settings
from benchlib.processes import running
from benchlib.tools import Tools
from lab import netns
from lab.plan import Pod

SINK: Final = "sink"

# There and back: what comes later finds another machine, and connections that have grown. Often: of
# one flow beside one blast the next differs by a tenth or two, and a tenth is what is asked for.
HALF: Final = ("sink", "guarded", "guarded", "sink")
ORDER: Final = (*HALF, "unguarded", *HALF)

# Seconds of blast before and after the bytes that count.
AROUND: Final = 1.0

DROP_ALL: Final = (
    'table netdev bench { chain in { type filter hook ingress device "eth0" priority 0; drop; }; }'
)


def measure(settings: Settings, tools: Tools, programs: Programs) -> dict[str, float]:
    """One round, by "blast variant" in Gbit/s, and the share of the blast that the guard dropped.
    Raises BenchError and what hack/lab raises.
    """
    seen: dict[str, list[float]] = {}
    with meshed(settings, tools, (SINK,)) as (bench, route):
        pods = bench.network
        server, sink = pods.server.pod, pods.layout.pod(SINK)
        netns.run_in(sink.netns, ["nft", "-f", "-"], stdin=DROP_ALL)
        for name in ("guarded",) if settings.smoke else ORDER:
            if name == "guarded":
                with programs.guarding(pods.layout.fabric, pods.client.pod.port):
                    before = programs.dropped()
                    found, packets = _beside(settings, bench, route, server)
                    dropped = (programs.dropped() - before) / max(packets, 1)
                seen.setdefault("blast dropped", []).append(dropped)
            else:
                found, _ = _beside(settings, bench, route, sink if name == "sink" else server)
            seen.setdefault(f"blast {name}", []).append(found)
    return {name: fmean(values) for name, values in seen.items()}


def _beside(settings: Settings, bench: Bench, route: Route, target: Pod) -> tuple[float, float]:
    """The flow beside a blast, Gbit/s, and how many packets that had."""
    pods = bench.network
    seconds = settings.seconds + iperf.WARM_UP + AROUND
    blast = Blast(target.ipv6, "mixed", seconds, settings.rate)
    with running(pods, "blast", pods.client.command(blast.command(bench.tools))) as sender:
        load = iperf.Load(settings.seconds)
        flow = iperf.run(bench, route, load, "flow").values["flow"]
        sender.wait_until("done", lambda: bool(sender.tail()), seconds + 30)
        return flow, sent(sender.tail())
