"""Holds what the kernel saw leave a pod in the clear against what its sidecar says. Pure.

Payload that leaves a pod is accounted for when it is exempt (excluded ports and networks) or when
the sidecar has sent it, because policy lets it. The rest went past the sidecar. Only what leaves is
judged: anybody may send a pod what he likes, but only a socket in the pod sends payload. TCP and
UDP have a ledger each, since the kernel holds back what it was given of them for other reasons.

Every figure errs on the sidecar's side, so that what is found is so: exempt packets count with
their headers, what TCP sends again counts with the largest packets there are, and a sidecar is
asked after the kernel was read.
"""

from dataclasses import dataclass
from typing import Final, Literal

from stoq.plaintext import Figures

Protocol = Literal["tcp", "udp"]
"""As `Tally` and the metrics call them."""

PROTOCOLS: Final[tuple[Protocol, ...]] = ("tcp", "udp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How much of what a sidecar has sent the kernel may still hold."""

    seconds: float
    """After the last of it."""
    closed: int
    """Bytes, whatever is open."""
    connection: int = 0
    """Bytes more, for each connection that is open."""


SEND_BUFFER: Final = 4 << 20
"""Bytes of one connection that the kernel may hold before they leave (tcp(7), tcp_wmem)."""

TCP: Final = Lag(seconds=900.0, closed=4 * SEND_BUFFER, connection=SEND_BUFFER)
"""For so long the kernel may go on sending what a closed connection still had (tcp(7),
tcp_retries2)."""

UDP: Final = Lag(seconds=5.0, closed=1 << 20)
"""A datagram leaves at once, or waits until its neighbour has answered: three questions, a second
apart, and 212,992 bytes for each neighbour (arp(7); unres_qlen_bytes)."""

LAGS: Final[dict[Protocol, Lag]] = {"tcp": TCP, "udp": UDP}

ABSENT_SECONDS: Final = 60.0
"""Without anybody on its port a sidecar is gone; before, it may be starting again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel has counted of a pod so far."""

    left: int
    """Bytes of payload out of the pod, as `Tally.left` has them."""
    excused_before: int
    """Bytes of packets out of the pod that are excused (`Tally.excused`), read before `left`."""
    excused: int
    """The same, read after it."""


@dataclass(frozen=True, slots=True)
class Mute:
    """A sidecar that gave no figures."""

    why: str
    absent: bool = False
    """Nobody listens on its port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a sidecar's figures say of one protocol; all but `connections` only grow."""

    instance: str
    """Of the sidecar's figures."""
    sent: int
    """Bytes of payload that it sent in plaintext."""
    again: int = 0
    """Bytes that the kernel has sent again."""
    connections: int = 0
    """In plaintext, open now."""


def said(protocol: Protocol, answer: Figures | Mute) -> Said | Mute:
    """What `answer` says of `protocol`."""
    if isinstance(answer, Mute):
        return answer
    if protocol == "tcp":
        return Said(
            instance=answer.instance,
            sent=answer.sent_bytes,
            again=answer.retransmitted_bytes,
            connections=answer.connections,
        )
    if answer.datagram_bytes is None:
        return Mute("its sidecar is older, and does not count the datagrams that it sends")
    return Said(instance=answer.instance, sent=answer.datagram_bytes)


class Ledger:
    """One pod's of one protocol. Times are in seconds of any one epoch."""

    def __init__(self, lag: Lag = TCP) -> None:
        self._lag = lag
        self._seen: Seen | None = None
        self._said: Said | None = None
        self._credit = 0
        """Bytes that the sidecar has sent and the kernel has not shown yet, or the reverse."""
        self._most: int | None = None
        """What of it the kernel could still hold when the sidecar was last asked."""
        self._missed = 0
        """Bytes that were missing already when it was last looked."""
        self._open = 0.0
        """When the sidecar last sent plaintext, or had a connection of it."""
        self._absent: float | None = None
        """Since when nobody listens on its port."""
        self._alone = False
        """Whether it counts as gone."""

    @property
    def judged(self) -> bool:
        """Whether there is anything to go by: the sidecar has told figures."""
        return self._said is not None

    @property
    def short(self) -> bool:
        """Whether bytes were missing when it was last looked, that may be found the next time."""
        return self._missed > 0

    def count(self, seen: Seen) -> None:
        """Takes what the kernel has counted, before a sidecar is asked and once more after.
        Exempt packets hide as much as their headers between two calls, and nothing beyond.
        """
        last, self._seen = self._seen, seen
        # Less than before: the counters are those of a pod that was gone meanwhile.
        if last is None or seen.left < last.left or seen.excused < last.excused:
            return
        left = seen.left - last.left
        self._credit -= max(0, left - (seen.excused - last.excused_before))
        # Only now: what a sidecar sent just before it answered may be any number of bytes, and has
        # left.
        if self._most is not None:
            self._credit = min(self._credit, self._most)

    def look(self, now: float, told: Said | Mute) -> int:
        """Bytes that are found to have gone past the sidecar; each is told once.

        `told` must have been asked for after the kernel was last read. While a sidecar is mute
        nothing is judged, and all of it when it speaks again.
        """
        if isinstance(told, Mute):
            return self._without(now) if told.absent else 0
        before, self._said = self._said, told
        self._absent, self._alone = None, False
        if before is None or before.instance != told.instance:
            # What a predecessor sent after it was last asked is not known, so it begins here; what
            # it had sent may still be on its way.
            return self._begin(now, told.sent + (before.sent if before else 0))
        self._credit += told.sent - before.sent
        self._credit += told.again - before.again
        if told.connections or told.sent != before.sent:
            self._open = now
        self._bound(now, told.connections)
        # A sidecar counts some moments after the kernel has sent: what is missing now and was not
        # the last time may be told the next time.
        missing = max(0, -self._credit)
        return self._told(min(missing, self._missed), missing)

    def _without(self, now: float) -> int:
        """Nobody is there who could have sent anything, if there was before."""
        if self._said is None:
            return 0
        if self._absent is None:
            self._absent = now
        if now - self._absent < ABSENT_SECONDS:
            return 0
        if not self._alone:
            self._alone = True
            return self._begin(now, self._said.sent)
        self._bound(now, 0)
        missing = max(0, -self._credit)
        return self._told(missing, missing)

    def _told(self, found: int, missing: int) -> int:
        self._credit += found
        self._missed = missing - found
        return found

    def _begin(self, now: float, sent: int) -> int:
        self._open, self._missed, self._credit = now, 0, sent
        self._bound(now, self._said.connections if self._said else 0)
        return 0

    def _bound(self, now: float, connections: int) -> None:
        """What the kernel can not hold any more has left, or never will."""
        gone = now - self._open >= self._lag.seconds
        self._most = 0 if gone else self._lag.closed + connections * self._lag.connection
