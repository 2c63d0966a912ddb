"""Counters of the kernel as counters of the agent: they outlive links, and know a verdict. Pure.

The kernel counts by reason, and whether a reason means a drop depends on the mode at the time. So
what was added between two readings is booked on the mode that was in force between them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

from stoq_node.pods import Pod

Seen = tuple[str, str, bool, int, int]
"""Direction, reason, whether strict mode drops it, packets, bytes."""

Key = tuple[str, str, str, str, str]
"""Namespace, pod, direction, and two words that say what it was."""

Flow = tuple[str, str, str]
"""Namespace, pod, and whether it is `tcp` or `udp`."""

EXCUSED: Final = {
    "exempt": "tcp",
    "exempt_udp": "udp",
    "plain_tcp": "tcp",
    "plain_udp": "udp",
}
"""Reasons of strict mode for packets that no sidecar has to account for: those that are exempt,
and those that are dropped, if they are."""

PASSED = "passed"
DROPPED = "dropped"
WOULD_DROP = "would_drop"


class Tally:
    """Sums of packets and of bytes by key."""

    def __init__(self) -> None:
        self.packets: Counter[Key] = Counter()
        self.bytes: Counter[Key] = Counter()
        self.left: Counter[Flow] = Counter()
        """Payload of TCP, and of UDP where it is captured, out of pods, also of packets that strict
        mode then dropped, but not to addresses in `near`, to those that the pod dials directly, and
        of UDP not to those that capture leaves alone."""
        self._peers: defaultdict[Flow, Counter[str]] = defaultdict(Counter)
        self.excused: Counter[Flow] = Counter()
        """Bytes of packets out of pods that are exempt, or that strict mode dropped."""
        self.near: frozenset[str] | None = None
        """Addresses of the node itself: its probes reach applications without their sidecars. None
        where nobody asks for `left` and `peers`."""
        self._last: dict[tuple[int, tuple[str, ...]], tuple[int, int]] = {}

    def strict(self, index: int, pod: Pod, counts: Iterable[Seen]) -> None:
        """What strict mode has counted at a link since the pod was enrolled there."""
        for direction, reason, plaintext, packets, size in counts:
            if packets:
                key = (
                    pod.namespace,
                    pod.name,
                    direction,
                    reason,
                    verdict(pod, direction, plaintext),
                )
                added = self._add(index, (direction, reason), key, packets, size)
                passes = reason in {"exempt", "exempt_udp"}
                if direction == "from_pod" and reason in EXCUSED and (passes or key[4] == DROPPED):
                    self.excused[pod.namespace, pod.name, EXCUSED[reason]] += added

    def accounts(
        self, pods: Mapping[int, Pod], entries: Iterable[tuple[int, str, str, str, int, int]]
    ) -> None:
        """The accounts of all links. Peers are added up: there may be any number of them."""
        for index, peer, direction, kind, packets, size in entries:
            pod = pods.get(index)
            if pod is not None:
                key = (pod.namespace, pod.name, direction, kind, "")
                added = self._add(index, (peer, direction, kind), key, packets, size)
                if added and direction == "from_pod" and _accounted(pod, peer, kind):
                    self._left(pod, peer, kind, added)

    def _left(self, pod: Pod, peer: str, kind: str, size: int) -> None:
        if self.near is not None and peer not in self.near and peer not in pod.direct:
            self.left[pod.namespace, pod.name, kind] += size
            self._peers[pod.namespace, pod.name, kind][peer] += size

    def peers(self, pod: Pod, kind: str) -> Counter[str]:
        """To whom payload of `kind` in `left` went since this was last asked, and how much."""
        return self._peers.pop((pod.namespace, pod.name, kind), Counter())

    def restarted(self) -> None:
        """The kernel counts from 0 again, everywhere."""
        self._last = {}

    def keep(self, pods: Iterable[Pod], indexes: Iterable[int]) -> None:
        """Forgets pods that are not among `pods`, and links that are not among `indexes`."""
        names = {(pod.namespace, pod.name) for pod in pods}
        for counter in (self.packets, self.bytes):
            for key in [key for key in counter if key[:2] not in names]:
                del counter[key]
        for sums in (self.left, self.excused, self._peers):
            for flow in [flow for flow in sums if flow[:2] not in names]:
                del sums[flow]
        kept = set(indexes)
        self._last = {where: sums for where, sums in self._last.items() if where[0] in kept}

    def _add(self, index: int, what: tuple[str, ...], key: Key, packets: int, size: int) -> int:
        """Bytes that are new."""
        before = self._last.get((index, what), (0, 0))
        # Less than before: the kernel had forgotten the entry and began anew.
        if packets < before[0]:
            before = (0, 0)
        self._last[index, what] = (packets, size)
        self.packets[key] += packets - before[0]
        self.bytes[key] += size - before[1]
        return size - before[1]


def _accounted(pod: Pod, peer: str, kind: str) -> bool:
    """Whether payload of this kind is to go by the pod's sidecar. Capture leaves UDP alone on the
    link and to groups, as it must not reach anybody else (docs/traffic-matrix.md).
    """
    if kind != "udp":
        return kind == "tcp"
    if pod.udp:
        return False
    to = ip_address(peer)
    return not (to.is_multicast or to.is_link_local or peer == "255.255.255.255")


def verdict(pod: Pod, direction: str, plaintext: bool) -> str:  # noqa: FBT001
    """What became of packets of a reason that strict mode drops, or not."""
    if not plaintext:
        return PASSED
    strict = pod.inbound == "strict" if direction == "to_pod" else pod.outbound == "meshOnly"
    return DROPPED if strict else WOULD_DROP
