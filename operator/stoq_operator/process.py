"""Wires the parts of the control process together and runs them until it is told to stop."""

import asyncio
import logging
import secrets
import time
from functools import partial
from pathlib import Path
from typing import Final

from stoq import constants
from stoq.api.server import ApiServer
from stoq.records.mesh import MeshConfigSpec
from stoq.registry import TrustEntry
from stoq_operator import health
from stoq_operator.brokers import Brokers
from stoq_operator.ca import Ca, bundle
from stoq_operator.controller import Controller
from stoq_operator.derive import mesh_of
from stoq_operator.endpoint import EngineEndpoint
from stoq_operator.files import FileStore
from stoq_operator.index import Index
from stoq_operator.metrics import Metrics
from stoq_operator.rate import Rate
from stoq_operator.registry import Registry
from stoq_operator.settings import Settings
from stoq_operator.signing import Signing
from stoq_operator.state import PUBLIC_MODE, StateDirectory, StateError, write_file
from stoq_operator.store import fold

log: Final = logging.getLogger("stoq.control")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Runs the control process until `stop` is set.

    Raises `StateError` and `OSError` for what keeps it from starting.
    """
    metrics = Metrics()
    store = _store(Path(settings.store.directory))
    batches = store.watch()
    first = await anext(batches)
    mesh = mesh_of(fold({}, first))
    fixed = mesh.spec if mesh else MeshConfigSpec(trust_domain=settings.mesh.trust_domain)
    state = StateDirectory(Path(settings.state.directory))
    ca = Ca(state, fixed.trust_domain, fixed.profile)
    registry = Registry(Index(secrets.token_hex(8), time.time_ns() // 1_000_000), metrics)
    endpoint = EngineEndpoint(
        settings.listen.address, fixed.trust_domain, fixed.profile, settings.log.level
    )
    controller = Controller(
        store=store,
        batches=batches,
        state=state,
        ca=ca,
        registry=registry,
        endpoint=endpoint,
        metrics=metrics,
        fixed=fixed,
        first=first,
        bundle=partial(_write_bundle, Path(settings.state.bundle), fixed.trust_domain),
    )
    rate = Rate(settings.ca.signatures_per_second, settings.ca.signatures_burst)
    server = ApiServer(observer=metrics.call)
    Signing(ca, lambda: controller.world, rate, metrics, controller.refresh_trust).register(server)
    registry.register(server)
    brokers = Brokers(f"stoq-control {constants.VERSION}", settings.broker.sidecar_uid)
    metrics.brokers(lambda: brokers.serving)
    if settings.broker.enabled:
        controller.on_world.append(lambda world: brokers.update(world.workloads))
    pages = health.server(metrics, lambda: "" if controller.ready else "records are not read yet")
    listener = health.listen(settings.listen.metrics)
    controller.start()
    async with endpoint.start() as engine, asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(controller.run()),
            tasks.create_task(server.serve(engine.acceptor())),
            tasks.create_task(brokers.run()),
            tasks.create_task(pages.serve([listener])),
        ]
        log.info(
            "mesh %s, profile %s: registry and CA on UDP %s, metrics on TCP %s",
            fixed.trust_domain, fixed.profile, settings.listen.address, settings.listen.metrics,
        )  # fmt: skip
        await stop.wait()
        log.info("stopping")
        for task in running:
            task.cancel()


def _store(folder: Path) -> FileStore:
    """A folder that is not there may come later, but at the start it is more likely a typo."""
    if not folder.is_dir():
        raise StateError(f"the store {folder} is no directory; make it, or name it with --store")
    return FileStore(folder)


def _write_bundle(path: Path, trust_domain: str, trust: TrustEntry) -> None:
    write_file(path, bundle(trust_domain, trust), PUBLIC_MODE)
    log.info("wrote the bundle %s with %d roots", path, len(trust.roots))
