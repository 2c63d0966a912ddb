"""Ours by a service record, with a shadow that hears everything, or nothing."""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

from benchlib.candidates.base import Bench, Route
from benchlib.candidates.stoq import Stoq, started
from benchlib.errors import BenchError
from benchlib.network import Side
from benchlib.processes import listening, running
from lab import mirrors
from lab.mesh import MeshSettings

SHADOW = "shadow"


class StoqMirrored(Stoq):
    """The client dials a service record; every connection is copied for another pod."""

    name: ClassVar[str] = "stoq-mirrored"
    title: ClassVar[str] = "STOQ, every connection copied"
    share: ClassVar[int] = mirrors.WHOLE
    scenarios: ClassVar[frozenset[str]] = frozenset({"mirror"})
    others: ClassVar[tuple[str, ...]] = (SHADOW,)

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """Ours as it is, then the shadow's application and both records."""
        network = bench.network
        mesh, relays = started(network, MeshSettings())
        client, shadow = network.client.pod, Side(network.layout.pod(SHADOW), network.server.cpu)
        mesh.enrol(shadow.pod)
        mesh.start_sidecar(shadow.pod)
        mesh.wait_ready([shadow.pod])
        mirrored = mirrors.Mirrored(mesh, network.server.pod, shadow.pod, port)
        command = shadow.command([bench.tools.peer("loadgen"), "echo", f"[::]:{port}"])
        with running(network, "shadow", command) as process:
            listening(shadow, port, process)
            mirrored.share(client, self.share)
            yield Route(mirrored.address(client), mirrors.PORT, relays)
            _check(mesh.counted(client, "stoq_mirrors_"), self.share)


class StoqUnmirrored(StoqMirrored):
    """The same record and pods, and no copy: what copies cost is the difference to this."""

    name: ClassVar[str] = "stoq-unmirrored"
    title: ClassVar[str] = "STOQ by a record, nothing copied"
    share: ClassVar[int] = 0


def _check(copies: dict[str, float], share: int) -> None:
    """A figure of some copies would be one of something else."""
    lost = {name: copies[f"stoq_mirrors_{name}_total"] for name in ("dropped", "skipped", "failed")}
    if any(lost.values()) or bool(copies["stoq_mirrors_sent_bytes_total"]) != bool(share):
        raise BenchError(f"not just as much was copied as was asked for: {copies}")
