"""What every path between two network namespaces is to those who use it."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class End:
    """One end: the namespace it is in, and what the interface is called there."""

    netns: str
    interface: str


class Route(Protocol):
    """A path that is up."""

    def begin(self) -> float:
        """Has the schedule begin, if it was held back; returns when it did (time.monotonic)."""

    def counted(self) -> dict[str, Any]:
        """What became of the frames, at most half a second ago: the number of the `step` that
        holds; for `up` and `down` how many were `offered`, `delivered` and `overflowed`, and what
        else the path knows.
        """
