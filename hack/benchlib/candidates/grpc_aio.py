"""gRPC for Python's asyncio, with mutual TLS: what calls between programs are made with today."""

import contextlib
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.errors import BenchError


class Grpc(Candidate):
    """It has no relays: programs speak it themselves."""

    name: ClassVar[str] = "grpc"
    title: ClassVar[str] = "gRPC (grpcio aio, mutual TLS)"
    scenarios: ClassVar[frozenset[str]] = frozenset({"api"})

    def route(self, bench: Bench, port: int) -> contextlib.AbstractContextManager[Route]:
        """Raises BenchError: no byte of another program goes over it."""
        raise BenchError(f"{self.name} has no way to {bench.network.server.address}, port {port}")
