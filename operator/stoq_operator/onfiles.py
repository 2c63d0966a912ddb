"""A control process on local files: what `stoq-control` runs."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from stoq import constants
from stoq.registry import TrustEntry
from stoq_operator.brokers import Brokers
from stoq_operator.ca import bundle
from stoq_operator.derive import Derived
from stoq_operator.files import FileStore
from stoq_operator.filestate import FileRoots, FileVips
from stoq_operator.jointokens import JoinTokens
from stoq_operator.kept import StateError
from stoq_operator.metrics import Metrics
from stoq_operator.process import Parts, run
from stoq_operator.settings import Settings
from stoq_operator.state import PUBLIC_MODE, StateDirectory, write_file
from stoq_operator.world import World

log: Final = logging.getLogger("stoq.control")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Runs until `stop` is set.

    Raises `StateError` and `OSError` for what keeps it from starting.
    """
    state = StateDirectory(Path(settings.state.directory))
    metrics = Metrics()
    brokers = Brokers(f"stoq-control {constants.VERSION}", settings.broker.sidecar_uid)
    metrics.brokers(lambda: brokers.serving)

    def settled(world: World, _derived: Derived) -> None:
        if settings.broker.enabled:
            brokers.update(world.workloads)

    def bundled(trust_domain: str, trust: TrustEntry) -> None:
        path = Path(settings.state.bundle)
        write_file(path, bundle(trust_domain, trust), PUBLIC_MODE)
        log.info("wrote the bundle %s with %d roots", path, len(trust.roots))

    parts = Parts(
        store=_store(Path(settings.store.directory)),
        roots=FileRoots(state),
        vips=FileVips(state),
        admission=JoinTokens(state),
        metrics=metrics,
        bundle=bundled,
        settled=settled,
        beside=(brokers.run,),
    )
    await run(
        parts,
        stop,
        mesh=settings.mesh,
        listen=settings.listen,
        ca=settings.ca,
        log_level=settings.log.level,
    )


def _store(folder: Path) -> FileStore:
    """A folder that is not there may come later, but at the start it is more likely a typo."""
    if not folder.is_dir():
        raise StateError(f"the store {folder} is no directory; make it, or name it with --store")
    return FileStore(folder)
