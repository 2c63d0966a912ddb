"""How many packets a core can drop: the guard against nftables, behind a network card.

The card is a veth: the kernel puts frames in at one end by itself (hack/peers/blast), and the
other end's driver has them as a card has what it received. It shows them to a program of XDP, if
there is one, or makes packets of them for the stack, by NAPI and GRO. All of that is on one CPU,
the making of frames too: packets dropped over the time in which it was busy are what a core drops.
"""

import array
import contextlib
import fcntl
import json
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from statistics import fmean
from typing import Final

from benchlib import network, procfs
from benchlib.errors import BenchError
from benchlib.node.blast import NEXT_TO_NOTHING, Blast, Card, Kind, nft_port, nft_rules, sent
from benchlib.node.programs import Programs
from benchlib.node.settings import Settings
from benchlib.tools import Tools
from lab import command, netns
from lab.command import CommandError
from stoq.capture.netns import run_in

CPU: Final = 1

DEVICE: Final = "drop1"
CARD: Final = Card("drop0", "02:00:00:00:00:01")
TARGET: Final = IPv6Address("fdb1:a57::2")

PREROUTING: Final = ("ip6", "prerouting priority raw")
INGRESS: Final = ("netdev", f'ingress device "{DEVICE}" priority 0')

# What hack/peers/blast says where the kernel cannot do that.
NO_FRAMES: Final = "the kernel runs no program of XDP on live frames (Linux 5.18 does)"

# linux/sockios.h, linux/ethtool.h: a card's driver hands over what it received by NAPI and GRO, a
# veth's does where it is asked to.
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_SGRO: Final = 0x2C


class NoFrames(BenchError):
    """The kernel cannot be made to send frames by itself."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of dropping; neither of both: a program of XDP that does nothing else."""

    name: str
    rules: str = ""  # of nftables
    mode: str = ""  # of the guard


WAYS: Final = (
    Way("frames"),
    Way("guard-native", mode="native"),
    Way("guard-generic", mode="generic"),
    Way("guard", mode="tc"),
    Way("prerouting", nft_rules(*PREROUTING)),
    Way("ingress", nft_rules(*INGRESS)),
    Way("prerouting-port", nft_port(*PREROUTING)),
    Way("ingress-port", nft_port(*INGRESS)),
)

# Seconds of one blast in a smoke run.
BRIEF: Final = 0.2

KINDS: Final[tuple[Kind, ...]] = ("initial", "junk")


def measure(settings: Settings, tools: Tools, programs: Programs) -> dict[str, float]:
    """Packets per second and core, by "way kind". Raises NoFrames, BenchError and what hack/lab
    raises.
    """
    seen: dict[str, list[float]] = {}
    # There and back, in the time of one: what comes later finds another machine.
    order = WAYS if settings.smoke else (*WAYS, *reversed(WAYS))
    seconds = BRIEF if settings.smoke else settings.seconds / 2
    with network.pair(settings.mtu, pin=False) as pods:
        _link(pods)
        for way in order:
            with _dropping(way, pods, tools, programs) as dropped:
                for kind in KINDS:
                    blast = Blast(TARGET, kind, seconds, card=CARD)
                    rate = _per_core(blast, pods, tools, dropped)
                    seen.setdefault(f"{way.name} {kind}", []).append(rate)
    return {name: fmean(rates) for name, rates in seen.items()}


def _link(pods: network.Network) -> None:
    """A veth between both, with nothing in its way, whose far end is as a card's driver."""
    client, server = pods.client.pod.netns, pods.server.pod.netns
    far = f"peer name {DEVICE} address {CARD.to} netns {server}"
    add = f"link add {CARD.device} type veth {far}"
    command.run(["ip", "-netns", client, *add.split()])
    for where, device in ((client, CARD.device), (server, DEVICE)):
        command.run(["ip", "-netns", where, "link", "set", device, "up"])
    command.run(["ip", "-netns", server, *f"addr add {TARGET}/64 dev {DEVICE} nodad".split()])
    run_in(f"/run/netns/{server}", _join_received)


def _join_received() -> int:
    wanted = array.array("I", (_ETHTOOL_SGRO, 1))
    request = struct.pack("16sP16x", DEVICE.encode(), wanted.buffer_info()[0])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        return len(fcntl.ioctl(asking, _SIOCETHTOOL, request))


@contextlib.contextmanager
def _dropping(
    way: Way, pods: network.Network, tools: Tools, programs: Programs
) -> Iterator[Callable[[], float]]:
    """Puts a way in force; yields what says how many packets it has dropped."""
    where = pods.server.pod.netns
    if way.mode:
        with programs.guarding(where, DEVICE, NEXT_TO_NOTHING, way.mode):
            yield programs.dropped
    elif way.rules:
        netns.run_in(where, ["nft", "-f", "-"], stdin=way.rules)
        try:
            yield lambda: _counter(where)
        finally:
            netns.run_in(where, ["nft", "flush", "ruleset"])
    else:
        with _all_dropped(pods, tools):
            yield lambda: _received(where)


@contextlib.contextmanager
def _all_dropped(pods: network.Network, tools: Tools) -> Iterator[None]:
    words = pods.server.command([tools.peer("drop-all"), DEVICE])
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        if not held.stdout.readline():
            raise BenchError(f"{DEVICE} takes no program in its driver: see above")
        yield
        held.communicate(timeout=30)


def _counter(where: str) -> float:
    listed = json.loads(netns.run_in(where, ["nft", "-j", "list", "counters"]))
    return float(sum(one["counter"]["packets"] for one in listed["nftables"] if "counter" in one))


def _received(where: str) -> float:
    (link,) = json.loads(netns.run_in(where, ["ip", "-s", "-j", "link", "show", DEVICE]))
    return float(link["stats64"]["rx"]["packets"])


def _per_core(
    blast: Blast, pods: network.Network, tools: Tools, dropped: Callable[[], float]
) -> float:
    pinned = ["taskset", "-c", str(CPU), *blast.command(tools)]
    before, began, idle = dropped(), time.monotonic(), _idle()
    try:
        said = command.run(pods.client.command(pinned), timeout=blast.seconds + 60).stdout
    except CommandError as error:
        raise (NoFrames(NO_FRAMES) if NO_FRAMES in str(error) else error) from error
    busy = time.monotonic() - began - (_idle() - idle)
    packets = dropped() - before
    # What a full queue loses is not counted. Were it most, the figure would be the generator's.
    if packets < 0.5 * sent(said):
        raise BenchError(f"{packets:.0f} of {sent(said):.0f} packets were dropped: {blast}")
    return packets / max(busy, 0.01)


def _idle() -> float:
    return procfs.idle_seconds(Path("/proc/stat").read_text(), CPU)
