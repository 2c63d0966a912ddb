"""The witness: tcpdump on the fabric, between the pods, knowing nothing of STOQ but its ports.

Two captures. The *count* runs all the time with a filter in the kernel that lets STOQ pass
uncounted and keeps the head of every other packet, so that it can stand beside ten gigabits per
second. The *full* capture keeps every byte of the small transfers and is searched for a payload
that is known to be in them.
"""

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lab import netns, process
from lab.packets import STOQ_PORTS, Kind, Packet, parse
from lab.pcap import frames
from lab.process import Process
from lab.state import State

NOT_STOQ = " and ".join(f"not udp port {port}" for port in STOQ_PORTS)
"""What the kernel keeps for the count."""

HEAD_BYTES = 160
"""How much of a counted packet is kept: every header, and a little to recognise it by."""

WHOLE = 65_536 + HEAD_BYTES
"""A whole burst of segments, as a veth carries it."""

LEAST_BUFFER = 32 << 20
"""Bytes that hold what arrives while tcpdump is not scheduled: of heads, a hundred thousand."""

LEAST_PACKETS = 1_000
"""Packets that there is room for meanwhile, however long a snapshot is: each takes as much as it
may, and that rounded up to a power of two.
"""

DISCARD = 9
"""UDP port of RFC 863. A capture has what is sent there, for the last packet is."""

_DROPPED = re.compile(r"(\d+) packets? dropped by kernel")

Address = IPv6Address | IPv4Address


@dataclass(frozen=True, slots=True)
class Count:
    """What crossed the fabric that was not STOQ."""

    plaintext: dict[str, int] = field(default_factory=dict)
    """Label -> packets, between pods of the mesh. Must be empty."""
    exempt: dict[str, int] = field(default_factory=dict)
    """Label -> packets that keep the network going, everywhere."""
    bystanders: dict[str, int] = field(default_factory=dict)
    """Label -> packets to or from the bystanders, who are not in the mesh."""
    dropped: int = 0
    """Packets that the kernel could not give to tcpdump: with any, the count proves nothing."""

    @property
    def plaintext_packets(self) -> int:
        """Packets between pods of the mesh that were not STOQ."""
        return sum(self.plaintext.values())


class Capture:
    """One running tcpdump on every interface of the fabric."""

    def __init__(self, running: Process, file: Path, fabric: str) -> None:
        self._running = running
        self._fabric = fabric
        self.file = file

    @classmethod
    def start(
        cls, state: State, name: str, fabric: str, *, expression: str, snapshot: int
    ) -> "Capture":
        """Starts a capture of what `expression` says (pcap-filter(7)), and returns once it is
        listening; empty: of everything. Raises process.ProcessError.
        """
        file = state.folder / f"{name}.pcap"
        file.unlink(missing_ok=True)
        # -Z root: tcpdump would become another user and could not write here.
        buffer = max(LEAST_BUFFER, LEAST_PACKETS << snapshot.bit_length()) >> 10
        argv = ["tcpdump", "-i", "any", "-y", "LINUX_SLL2", "-n", "-p", "-Z", "root", "-U"]
        argv += ["--immediate-mode", "-B", str(buffer), "-s", str(snapshot), "-w", str(file)]
        if expression:
            argv.append(f"({expression}) or udp dst port {DISCARD}")
        running = process.start(state, name, argv, netns=fabric)
        running.wait_until("listening", lambda: "listening on" in running.tail())
        return cls(running, file, fabric)

    def stop(self) -> int:
        """Ends the capture and returns how many packets the kernel dropped on the way to it.

        A last packet is sent on the fabric's loopback and waited for: what was captured before it
        has then been written, however busy the machine is.
        """
        token = secrets.token_hex(8)
        before = self.file.stat().st_size
        netns.run_in(self._fabric, ["bash", "-c", f"printf %s {token} > /dev/udp/::1/{DISCARD}"])
        self._running.wait_until("up to date", lambda: self._holds(token.encode(), before), 60)
        self._running.stop()
        said = self._running.tail()
        found = _DROPPED.search(said)
        if found is None:
            raise process.ProcessError(f"{self._running.name} gave no account of itself:\n{said}")
        return int(found[1])

    def _holds(self, token: bytes, start: int) -> bool:
        with self.file.open("rb") as capture:
            capture.seek(start)
            return token in capture.read()


def packets(file: Path, *, outgoing: bool = False) -> Iterator[tuple[float, Packet]]:
    """Every packet of a capture once, as it came in from a pod, or else as it went out to one:
    (seconds, packet).
    """
    for frame in frames(file.read_bytes()):
        # What a bridge passes on appears twice: in through one port, out through another.
        if frame.outgoing != outgoing:
            continue
        packet = parse(frame.protocol, frame.data)
        # The fabric's own loopback is not between pods; the capture's last packet is sent there.
        if packet.source is None or not packet.source.is_loopback:
            yield frame.time, packet


def delivered(capture: bytes, interfaces: frozenset[int]) -> Iterator[Packet]:
    """Every packet of a capture that left the fabric by one of these interfaces (numbers of the
    fabric's namespace): what came to the pods behind them, past whatever drops on the way.
    """
    for frame in frames(capture):
        if frame.outgoing and frame.interface in interfaces:
            yield parse(frame.protocol, frame.data)


def count(
    seen: Iterable[tuple[float, Packet]], bystanders: frozenset[Address], dropped: int
) -> Count:
    """Sorts what was captured. Pure: the verdict follows from the packets alone."""
    plaintext: Counter[str] = Counter()
    exempt: Counter[str] = Counter()
    control: Counter[str] = Counter()
    for _, packet in seen:
        if packet.kind is Kind.EXEMPT:
            exempt[packet.label] += 1
        elif packet.kind is Kind.PLAINTEXT:
            outside = packet.source in bystanders or packet.destination in bystanders
            ends = f"{packet.source} {packet.label} {packet.destination}"
            (control if outside else plaintext)[ends] += 1
    return Count(dict(plaintext), dict(exempt), dict(control), dropped)


def find_marker(
    seen: Iterable[tuple[float, Packet]], marker: bytes, bystanders: frozenset[Address]
) -> tuple[int, int]:
    """In how many packets `marker` stands readable: (within the mesh, among the bystanders).

    STOQ packets are searched like all others: encryption is what is being checked.
    """
    mesh = control = 0
    for _, packet in seen:
        if marker in packet.payload:
            if packet.source in bystanders or packet.destination in bystanders:
                control += 1
            else:
                mesh += 1
    return mesh, control
