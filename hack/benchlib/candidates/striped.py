"""Ours, with each of the application's connections over four of STOQ's."""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

from benchlib.candidates.base import Bench, Route
from benchlib.candidates.stoq import Stoq, started
from benchlib.errors import BenchError
from lab.mesh import MeshSettings

LANES = 4


class StoqStriped(Stoq):
    """A TransportPolicy of the server's pod says so."""

    name: ClassVar[str] = "stoq-striped"
    title: ClassVar[str] = "STOQ, a connection over four"
    scenarios: ClassVar[frozenset[str]] = frozenset({"bulk"})

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """Ours as it is, with the policy."""
        network = bench.network
        client, server = network.client.pod, network.server.pod
        mesh, relays = started(network, MeshSettings())
        mesh.write("TransportPolicy", "striped", {"shard": {"lanes": LANES}})

        def told() -> bool:
            workloads = mesh.admin(client, "/config")["registry"]["workloads"]
            return any(entry["lanes"] == LANES for entry in workloads.values())

        mesh.sidecars[client.name].wait_until("told of the lanes", told)
        yield Route(network.server.address, port, relays)
        joined = mesh.counted(server, "stoq_stripe_")["stoq_stripe_lanes_joined_total"]
        check(int(joined))


def check(joined: int) -> None:
    """A figure of fewer connections would be one of something else. Raises BenchError."""
    if joined < LANES - 1:
        raise BenchError(f"{joined} further lanes joined: a connection should have {LANES - 1}")
