"""Runs the parts of a control process together until it is told to stop."""

import asyncio
import gc
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final

from stoq import health
from stoq.api.server import ApiServer
from stoq.program import together
from stoq.records.mesh import MeshConfigSpec
from stoq.registry import TrustEntry
from stoq.sealing import Sealer
from stoq_operator import settings
from stoq_operator.ca import Ca
from stoq_operator.controller import Controller
from stoq_operator.derive import Derived, mesh_of
from stoq_operator.endpoint import EngineEndpoint
from stoq_operator.index import Index
from stoq_operator.kept import Admission, RootStore, Vips
from stoq_operator.metrics import Metrics
from stoq_operator.rate import Rate
from stoq_operator.registry import Registry
from stoq_operator.signing import Signing
from stoq_operator.store import Store, fold
from stoq_operator.ticketkeys import TicketKey
from stoq_operator.world import World

log: Final = logging.getLogger("stoq.control")

STARTING: Final = (50_000, 20, 100)
"""When garbage is looked for while what stays is read: by default, after each 700 objects, it takes
half of the 1.5 s that 5,000 workloads and 10,000 records cost until they are in force.
"""


def configured(mesh: settings.Mesh) -> MeshConfigSpec:
    """What holds when no MeshConfig says it."""
    return MeshConfigSpec(trust_domain=mesh.trust_domain, profile=mesh.profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What differs between a control process on files and one in a cluster."""

    store: Store
    roots: RootStore
    vips: Vips
    admission: Admission
    metrics: Metrics
    bundle: Callable[[str, TrustEntry], None]
    """Told the trust domain and whom newcomers shall trust."""
    settled: Callable[[World, Derived], None]
    """Told of the records in force, and what they came to, after every change."""
    tickets: Callable[[Callable[[Sequence[TicketKey]], None]], None] | None = None
    """Given whom to tell of the keys of session tickets; None: no sidecar resumes its session."""
    beside: tuple[Callable[[], Coroutine[None, None, None]], ...] = ()
    """What else runs, from before the first record is read."""


async def run(
    parts: Parts,
    stop: asyncio.Event,
    *,
    mesh: settings.Mesh,
    listen: settings.Listen,
    ca: settings.Ca,
    log_level: str,
) -> None:
    """Runs a control process until `stop` is set.

    Raises `StateError` and `OSError` for what keeps it from starting.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*STARTING)
    waiting = "records are not read yet"
    parts.metrics.roots_refused(lambda: parts.roots.problem is not None)

    def missing() -> str:
        problem = parts.roots.problem
        return f"{waiting}: {problem.text}" if waiting and problem else waiting

    pages = health.server("stoq-control", parts.metrics.page, missing)
    listener = health.listen(listen.metrics, "STOQ_LISTEN_METRICS")
    async with together(*[work() for work in parts.beside], pages.serve([listener])):
        batches = parts.store.watch()
        first = await anext(batches)
        found = mesh_of(fold({}, first))
        fixed = found.spec if found else configured(mesh)
        authority = Ca(fixed.trust_domain, fixed.profile)
        endpoint = EngineEndpoint(listen.address, fixed.trust_domain, fixed.profile, log_level)
        if parts.tickets is not None:
            parts.tickets(endpoint.ticket_keys)
        index = Index(secrets.token_hex(8), time.time_ns() // 1_000_000)
        sealer = Sealer(endpoint.sign, time.time)
        endpoint.on_installed.append(sealer.forget)
        registry = Registry(index, parts.metrics, sealer)
        controller = Controller(
            store=parts.store,
            batches=batches,
            roots=parts.roots,
            vips=parts.vips,
            admission=parts.admission,
            ca=authority,
            registry=registry,
            endpoint=endpoint,
            metrics=parts.metrics,
            fixed=fixed,
            first=first,
            bundle=lambda trust: parts.bundle(fixed.trust_domain, trust),
        )
        controller.on_settled.append(parts.settled)
        server = ApiServer(observer=parts.metrics.call)
        Signing(
            authority,
            parts.admission,
            Rate(ca.signatures_per_second, ca.signatures_burst),
            parts.metrics,
            world=lambda: controller.world,
            issued=controller.refresh_trust,
        ).register(server)
        registry.register(server)
        waiting = "there is no root to sign with yet"
        await controller.start()
        async with together(controller.run()):
            if await _told_first(controller.ready, stop):
                return
            # What is there by now stays. A collection that looks through it is 0.2 s in a mesh of
            # 10,000 records, every few changes.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*usual)
            async with endpoint.start() as engine, together(server.serve(engine.acceptor())):
                waiting = ""
                log.info(
                    "mesh %s, profile %s: registry and CA on UDP %s, metrics on TCP %s",
                    fixed.trust_domain, fixed.profile, listen.address, listen.metrics,
                )  # fmt: skip
                await stop.wait()
                log.info("stopping")


async def _told_first(ready: asyncio.Event, stop: asyncio.Event) -> bool:
    """Waits for either; returns whether it was `stop`."""
    waits = [asyncio.create_task(event.wait()) for event in (ready, stop)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return stop.is_set()
