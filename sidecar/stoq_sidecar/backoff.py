"""How long to wait before the next attempt. Pure."""

from dataclasses import dataclass
from typing import Final

CROWD_RATE: Final = 500.0
"""Attempts a second of a whole crowd. One core of a control plane takes some 350 full handshakes a
second, and more than twice as many of those that resume."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with jitter, in seconds: `shortest`, twice that, ... up to `longest`.

    Of each wait at least half is kept and the rest is drawn, so that clients which failed
    together do not come back together.
    """

    shortest: float
    longest: float

    def delay(self, failures: int, draw: float, crowd: int = 0) -> float:
        """Seconds to wait after `failures` (1 or more) in a row; `draw` is uniform in [0, 1).

        `crowd`: how many clients may have lost the same server with us. They spread, from the first
        wait on: a server whose queue is longer than its clients' patience completes no handshake.
        """
        doublings = min(failures - 1, 30)  # far above any useful ratio, far below overflow
        full = min(self.longest, self.shortest * 2.0**doublings)
        spread = min(self.longest, crowd / CROWD_RATE)
        return max(full * (0.5 + 0.5 * draw), spread * draw)
