"""How long a call may take, as a point in time that every step shares."""

from dataclasses import dataclass
from typing import Final

MAX_DEADLINE_MS: Final = 24 * 3600 * 1000
"""Longest deadline a header may ask for, milliseconds; longer ones are cut to it."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a call in seconds of a monotonic clock; `None` for a call without end."""

    at: float | None

    @classmethod
    def after(cls, seconds: float | None, now: float) -> "Deadline":
        """`seconds` from `now`; `None` means never. Raises `ValueError` when not positive."""
        if seconds is None:
            return cls(None)
        if not seconds > 0:
            raise ValueError(f"timeout {seconds!r} is not positive; give seconds, or None for none")
        return cls(now + seconds)

    @classmethod
    def from_header(cls, deadline_ms: int | None, now: float) -> "Deadline":
        """What a caller's header means here. The clock is ours: only a duration travels."""
        if deadline_ms is None:
            return cls(None)
        return cls(now + min(deadline_ms, MAX_DEADLINE_MS) / 1000)

    def to_header(self, now: float) -> int | None:
        """The remaining milliseconds, at least 1, for the header."""
        if self.at is None:
            return None
        return max(1, min(MAX_DEADLINE_MS, round((self.at - now) * 1000)))

    def passed(self, now: float) -> bool:
        """Whether the call's time is over at `now`."""
        return self.at is not None and now >= self.at
