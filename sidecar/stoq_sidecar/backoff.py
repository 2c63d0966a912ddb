"""How long to wait before the next attempt. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with jitter, in seconds: `shortest`, twice that, ... up to `longest`.

    Of each wait at least half is kept and the rest is drawn, so that clients which failed
    together do not come back together.
    """

    shortest: float
    longest: float

    def delay(self, failures: int, draw: float) -> float:
        """Seconds to wait after `failures` (1 or more) in a row; `draw` is uniform in [0, 1)."""
        doublings = min(failures - 1, 30)  # far above any useful ratio, far below overflow
        full = min(self.longest, self.shortest * 2.0**doublings)
        return full * (0.5 + 0.5 * draw)
