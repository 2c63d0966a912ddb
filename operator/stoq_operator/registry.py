"""Serves the registry: each watcher gets where it stands, then every change, merged while it reads.

Nothing is queued for a watcher. It waits for the index to move on and is then told the difference
between what it has and what there is, however many changes that were: a slow reader costs no
memory.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Final

from stoq.api.call import Context
from stoq.api.errors import BadRequest, NotFound, Unauthorised
from stoq.api.server import ApiServer
from stoq.api.stream import Peer
from stoq.registry import WATCH, TrustEntry, WatchMessage, WatchRequest, WorkloadEntry
from stoq.sealing import Sealer
from stoq_operator.derive import Derived
from stoq_operator.index import Index
from stoq_operator.metrics import Metrics
from stoq_operator.turns import Turns

log: Final = logging.getLogger(__name__)


AT_ONCE: Final = 16
"""Snapshots that are sent at the same time: for a release before this one each is megabytes in a
mesh of thousands."""

PATIENCE: Final = 5.0
"""Seconds after which a snapshot that its sidecar does not take holds up nobody else."""


class Registry:
    """The index and those who watch it."""

    def __init__(self, index: Index, metrics: Metrics, sealer: Sealer) -> None:
        self._index = index
        self._sealer = sealer
        self._metrics = metrics
        self._waiting: set[asyncio.Future[None]] = set()
        self._revoked: frozenset[str] = frozenset()
        self._turns = Turns(AT_ONCE, PATIENCE)

    def update(self, derived: Derived, trust: TrustEntry) -> None:
        """Takes over a new state and wakes the watchers if it differs."""
        self._revoked = frozenset(trust.revoked)
        if not self._index.update(derived, trust):
            return
        counts = self._index.counts
        self._metrics.index(self._index.version, counts)
        log.info(
            "version %d: %d workloads, %d services, %d revoked certificates",
            self._index.version, counts["workloads"], counts["services"], len(trust.revoked),
        )  # fmt: skip
        for watcher in self._waiting:
            if not watcher.done():
                watcher.set_result(None)

    def register(self, server: ApiServer) -> None:
        """Adds the registry's method to a server."""
        server.server_stream(WATCH, self.watch)

    async def watch(self, request: WatchRequest, context: Context) -> AsyncIterator[WatchMessage]:
        """Handler of `WATCH`.

        The first message comes at once, if need be an empty delta: it tells the watcher that what
        it has is current.
        """
        own = self._own(request, context.peer)
        node, epoch, version = request.node, request.resume_epoch, request.resume_version
        digests, packed, signed = request.digests, request.packed, request.signed
        shown = b""
        log.info("%s (%s) watches from %s", node, context.remote, version or "nothing")
        # Whoever watches for days holds neither the request nor what was sent.
        del request
        # What is held here while nothing happens is held for each sidecar of the mesh: no Event, no
        # context managers.
        self._metrics.watcher_came()
        try:
            first = True
            while True:
                if first or version != self._index.version:
                    long = not self._index.continues(epoch, version)
                    async with self._turns.one() if long else nullcontext():
                        self._authorise(own, context.peer)
                        message = self._index.message(
                            own.uid, epoch, version, digests, packed=packed
                        )
                        if message is None:
                            raise NotFound(f"workload {node} is no longer in the registry")
                        epoch, version = message.epoch, message.version
                        # They were of the state it came with.
                        first, digests = False, ()
                        self._metrics.sent(message.type)
                        if signed:
                            message = self._sealer.seal(message, shown)
                            shown = message.certificate or shown
                        said = [message]
                        del message
                        # Whoever sends it holds it alone, for as long as it takes.
                        yield said.pop()
                    continue
                waiting = asyncio.get_running_loop().create_future()
                self._waiting.add(waiting)
                try:
                    await waiting
                finally:
                    self._waiting.discard(waiting)
        finally:
            self._metrics.watcher_left()

    def _own(self, request: WatchRequest, peer: Peer | None) -> WorkloadEntry:
        namespace, _, name = request.node.partition("/")
        if not namespace or not name:
            raise BadRequest(
                f"node is {request.node!r}; name the watching workload as <namespace>/<name>"
            )
        own = self._index.named(namespace, name)
        if own is None:
            raise NotFound(f"workload {request.node} is not in the registry; write its manifest")
        self._authorise(own, peer)
        return own

    def _authorise(self, own: WorkloadEntry, peer: Peer | None) -> None:
        if peer is None:
            raise Unauthorised("the registry needs a client certificate; get one by Sign first")
        current = self._index.workload(own.uid)
        if current is not None and current.spiffe_id != peer.spiffe_id:
            raise Unauthorised(
                f"workload {own.namespace}/{own.name} is {current.spiffe_id}, "
                f"the caller is {peer.spiffe_id}"
            )
        if peer.serial in self._revoked:
            raise Unauthorised(f"certificate {peer.serial} of {peer.spiffe_id} is revoked")
