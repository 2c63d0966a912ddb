"""No mesh at all: the ceiling."""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, Route


class Direct(Candidate):
    """TCP and UDP over the veth."""

    name: ClassVar[str] = "direct"
    title: ClassVar[str] = "direct (ceiling)"
    scenarios: ClassVar[frozenset[str]] = frozenset({"bulk", "latency", "udp"})

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """Nothing to start."""
        yield Route(bench.network.server.address, port)
