"""Holds what the kernel saw leave a pod in the clear against what its sidecar says. Pure.

TCP payload that leaves a pod is accounted for when it is exempt (excluded ports and networks) or
when the sidecar has sent it, because policy lets it. The rest went past the sidecar. Only what
leaves is judged: anybody may send a pod what he likes, but only a socket in the pod sends payload.

Every figure errs on the sidecar's side, so that what is found is so: exempt packets count with
their headers, what TCP sends again counts with the largest packets there are, and a sidecar is
asked after the kernel was read.
"""

from dataclasses import dataclass
from typing import Final

from stoq.plaintext import Figures

LINGER_SECONDS: Final = 900.0
"""For so long the kernel may go on sending what a closed connection still had (tcp(7),
tcp_retries2)."""

SEND_BUFFER: Final = 4 << 20
"""Bytes of one connection that the kernel may hold before they leave (tcp(7), tcp_wmem)."""

HELD: Final = 4 * SEND_BUFFER
"""Of all connections that are closed."""

ABSENT_SECONDS: Final = 60.0
"""Without anybody on its port a sidecar is gone; before, it may be starting again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel has counted of a pod so far."""

    left: int
    """Bytes of TCP payload out of the pod, as `Tally.left` has them."""
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


class Ledger:
    """One pod's. Times are in seconds of any one epoch."""

    def __init__(self) -> None:
        self._seen: Seen | None = None
        self._said: Figures | None = None
        self._credit = 0
        """Bytes that the sidecar has sent and the kernel has not shown yet, or the reverse."""
        self._missed = 0
        """Bytes that were missing already when it was last looked."""
        self._open = 0.0
        """When the sidecar last had a connection in plaintext."""
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
        """Takes what the kernel has counted. Exempt packets hide as much as their headers between
        two calls, and nothing beyond.
        """
        last, self._seen = self._seen, seen
        # Less than before: the counters are those of a pod that was gone meanwhile.
        if last is None or seen.left < last.left or seen.excused < last.excused:
            return
        left = seen.left - last.left
        self._credit -= max(0, left - (seen.excused - last.excused_before))

    def look(self, now: float, said: Figures | Mute) -> int:
        """Bytes that are found to have gone past the sidecar; each is told once.

        `said` must have been asked for after the kernel was last read. While a sidecar is mute
        nothing is judged, and all of it when it speaks again.
        """
        if isinstance(said, Mute):
            return self._without(now) if said.absent else 0
        before, self._said = self._said, said
        self._absent, self._alone = None, False
        if before is None or before.instance != said.instance:
            # What a predecessor sent after it was last asked is not known, so it begins here; what
            # it had sent may still be on its way.
            return self._begin(now, said.sent_bytes + (before.sent_bytes if before else 0))
        self._credit += said.sent_bytes - before.sent_bytes
        self._credit += said.retransmitted_bytes - before.retransmitted_bytes
        if said.connections or said.sent_bytes != before.sent_bytes:
            self._open = now
        self._expire(now, said.connections)
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
            return self._begin(now, self._said.sent_bytes)
        self._expire(now, 0)
        missing = max(0, -self._credit)
        return self._told(missing, missing)

    def _told(self, found: int, missing: int) -> int:
        self._credit += found
        self._missed = missing - found
        return found

    def _begin(self, now: float, sent: int) -> int:
        self._open, self._missed, self._credit = now, 0, sent
        self._expire(now, self._said.connections if self._said else 0)
        return 0

    def _expire(self, now: float, connections: int) -> None:
        """What the kernel can not hold any more has left, or never will."""
        most = HELD + connections * SEND_BUFFER
        if now - self._open >= LINGER_SECONDS:
            most = 0
        self._credit = min(self._credit, most)
