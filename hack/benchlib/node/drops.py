"""How many packets a core can drop: the guard against nftables, on one end of a veth.

The generator sends on CPU 0. Receive packet steering hands what arrives to CPU 1, which does
nothing else: packets dropped over the time in which it was busy are what a core drops.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

from benchlib import network, procfs
from benchlib.errors import BenchError
from benchlib.node.blast import NEXT_TO_NOTHING, Blast, Kind, nft_port, nft_rules, sent
from benchlib.node.programs import Programs
from benchlib.node.settings import Settings
from benchlib.tools import Tools
from lab import command, netns

GENERATOR_CPU: Final = 0
DROPPING_CPU: Final = 1

DEVICE: Final = "drop1"
SENDER: Final = IPv6Address("fdb1:a57::1")
TARGET: Final = IPv6Address("fdb1:a57::2")

PREROUTING: Final = ("ip6", "prerouting priority raw")
INGRESS: Final = ("netdev", f'ingress device "{DEVICE}" priority 0')


@dataclass(frozen=True, slots=True)
class Way:
    """One way of dropping."""

    name: str
    rules: str  # of nftables; empty: the guard
    mode: str = "tc"  # of the guard


WAYS: Final = (
    Way("guard", ""),
    Way("guard-generic", "", "generic"),
    Way("prerouting", nft_rules(*PREROUTING)),
    Way("ingress", nft_rules(*INGRESS)),
    Way("prerouting-port", nft_port(*PREROUTING)),
    Way("ingress-port", nft_port(*INGRESS)),
)

# Of one blast in a smoke run.
BRIEF: Final = 0.2

KINDS: Final[tuple[Kind, ...]] = ("initial", "junk")


def measure(settings: Settings, tools: Tools, programs: Programs) -> dict[str, float]:
    """Packets per second and core, by "way kind". Raises BenchError and what hack/lab raises."""
    found: dict[str, float] = {}
    with network.pair(settings.mtu, pin=False) as pods:
        _link(pods)
        for way in WAYS:
            with _dropping(way, pods, programs) as dropped:
                for kind in KINDS:
                    seconds = BRIEF if settings.smoke else settings.seconds
                    blast = Blast(TARGET, kind, seconds)
                    found[f"{way.name} {kind}"] = _per_core(blast, pods, tools, dropped)
    return found


def _link(pods: network.Network) -> None:
    """A veth between both, with nothing in its way, and its far end served by one CPU."""
    client, server = pods.client.pod.netns, pods.server.pod.netns
    far = f"peer name {DEVICE} netns {server}"
    command.run(["ip", "-netns", client, *f"link add drop0 type veth {far}".split()])
    for where, device, address in ((client, "drop0", SENDER), (server, DEVICE, TARGET)):
        command.run(["ip", "-netns", where, "link", "set", device, "up"])
        command.run(["ip", "-netns", where, *f"addr add {address}/64 dev {device} nodad".split()])
    # /sys shows the devices of the namespace it was mounted in, and so ip(8) mounts another.
    steer = f"echo {1 << DROPPING_CPU:x} > /sys/class/net/{DEVICE}/queues/rx-0/rps_cpus"
    command.run(["ip", "netns", "exec", server, "sh", "-c", steer])


@contextlib.contextmanager
def _dropping(way: Way, pods: network.Network, programs: Programs) -> Iterator[Callable[[], float]]:
    """Puts a way in force; yields what says how many packets it has dropped."""
    where = pods.server.pod.netns
    if not way.rules:
        with programs.guarding(where, DEVICE, NEXT_TO_NOTHING, way.mode):
            yield programs.dropped
        return
    netns.run_in(where, ["nft", "-f", "-"], stdin=way.rules)
    try:
        yield lambda: _counter(where)
    finally:
        netns.run_in(where, ["nft", "flush", "ruleset"])


def _counter(where: str) -> float:
    listed = json.loads(netns.run_in(where, ["nft", "-j", "list", "counters"]))
    return float(sum(one["counter"]["packets"] for one in listed["nftables"] if "counter" in one))


def _per_core(
    blast: Blast, pods: network.Network, tools: Tools, dropped: Callable[[], float]
) -> float:
    pinned = ["taskset", "-c", str(GENERATOR_CPU), *blast.command(tools)]
    before, began, idle = dropped(), time.monotonic(), _idle()
    said = command.run(pods.client.command(pinned), timeout=blast.seconds + 30).stdout
    busy = time.monotonic() - began - (_idle() - idle)
    packets = dropped() - before
    # What a full queue of the kernel drops is not counted.
    if packets < 0.01 * sent(said):
        raise BenchError(f"{packets:.0f} of {sent(said):.0f} packets were dropped: {blast}")
    return packets / max(busy, 0.01)


def _idle() -> float:
    return procfs.idle_seconds(Path("/proc/stat").read_text(), DROPPING_CPU)
