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

    def delay(self, failures: int, draw: float, crowd: int = 0, took: float = 0.0) -> float:
        """Seconds to wait after `failures` (1 or more) in a row; `draw` is uniform in [0, 1), and
        `took` how long the last attempt was, in seconds.

        `crowd`: how many clients may have lost the same server with us. They spread, at the first
        wait: a server whose queue is longer than its clients' patience completes no handshake.
        Then each keeps its turn, and tries again when all have had theirs: they stay spread, and
        nobody waits longer than that for a server that is back.
        """
        doublings = min(failures - 1, 30)  # far above any useful ratio, far below overflow
        full = min(self.longest, self.shortest * 2.0**doublings)
        spread = min(self.longest, crowd / CROWD_RATE)
        turn = spread * draw if failures == 1 else spread - took
        return max(full * (0.5 + 0.5 * draw), turn)
