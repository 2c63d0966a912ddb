"""Addresses that were a meshed pod's a moment ago. Pure: times come in as arguments.

A pod ends or moves, and for a while others still hold its address: from a DNS answer, from a
connection that they are about to open, from a Service that has not heard of it yet. The registry
knows nobody there any more, and what it does not know is outside the mesh, to be reached in
plaintext. So an address stays its pod's for `RETIRED_SECONDS` longer, unless another meshed pod has
it: a dial then ends in a handshake that nobody answers.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from stoq.registry import WorkloadEntry

RETIRED_SECONDS: Final = 30.0
"""As long as cluster DNS lets an answer live (CoreDNS's default). A pod outside the mesh that gets
the address sooner cannot talk to meshed pods until the time is over."""


class Retired:
    """Follows the workloads of the registry's states."""

    def __init__(self) -> None:
        self._before: Mapping[str, WorkloadEntry] = {}
        self._until: dict[str, tuple[float, WorkloadEntry]] = {}
        """By address."""

    def follow(self, workloads: Mapping[str, WorkloadEntry], now: float) -> None:
        """The workloads (by uid) of a state that has just come; `now` in seconds of a clock that
        never goes back.
        """
        for uid, entry in self._before.items():
            after = workloads.get(uid)
            if after is entry:
                continue
            kept = after.addresses if after is not None else ()
            for address in entry.addresses:
                if address not in kept:
                    self._until[address] = (now + RETIRED_SECONDS, entry)
        self._before = workloads

    def entries(self, now: float) -> tuple[WorkloadEntry, ...]:
        """An entry for each address whose time is not over; others are forgotten. It is for the
        caller to leave out what belongs to somebody else by now.
        """
        self._until = {address: known for address, known in self._until.items() if known[0] > now}
        return tuple(
            replace(entry, uid=f"{entry.uid}@{address}", addresses=(address,))
            for address, (_, entry) in self._until.items()
        )

    def ends(self) -> float | None:
        """When the first of them is over; None when there is none."""
        return min((until for until, _ in self._until.values()), default=None)
