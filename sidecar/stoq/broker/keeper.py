"""Keeps one socket broker for each pod that there is to serve.

In a cluster the node agent does this; in the embedded mode the control process.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from stoq.broker.lending import Lender
from stoq.broker.protocol import Offer, Spliced
from stoq.broker.server import Broker, Pod
from stoq.capture.nft import CaptureError

log: Final = logging.getLogger("stoq.broker")

RETRY: Final = 1.0
"""Seconds before a broker that failed is started again: its namespace may not be there yet."""


class Keeper:
    """Starts and stops brokers as pods come, change and go. Those that it ends leave capture in
    force.
    """

    def __init__(
        self,
        server: str,
        sidecar_uid: int,
        *,
        lender: Lender | None = None,
        join: Callable[[str, Offer], Spliced] | None = None,
    ) -> None:
        """`join` takes what sidecars offer (`stoq.broker.server.Join`), with the pod's key."""
        self._server = server
        self._lender = lender
        self._uid = sidecar_uid
        self._join = join
        self._wanted: dict[str, Pod] = {}
        self._changed = asyncio.Event()
        self.serving: set[str] = set()
        """Pods served now: the keys that `update` gave them."""
        self.failed: dict[str, str] = {}
        """Why a pod is not served, by the same keys."""

    def update(self, wanted: Mapping[str, Pod]) -> None:
        """The pods that there are now, each by a key that no other ever has."""
        if wanted != self._wanted:
            self._wanted = dict(wanted)
            self._changed.set()

    async def run(self) -> None:
        """Serves until cancelled."""
        running: dict[str, tuple[Pod, asyncio.Task[None]]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                for uid, (pod, task) in list(running.items()):
                    if self._wanted.get(uid) != pod:
                        task.cancel()
                        await asyncio.wait([task])
                        del running[uid]
                for uid, pod in self._wanted.items():
                    if uid not in running:
                        running[uid] = (pod, tasks.create_task(self._serve(uid, pod)))
                await self._changed.wait()

    async def _serve(self, uid: str, pod: Pod) -> None:
        try:
            while True:
                await self._once(uid, pod)
                await asyncio.sleep(RETRY)
        finally:
            self.failed.pop(uid, None)

    async def _once(self, uid: str, pod: Pod) -> None:
        ready = asyncio.Event()
        join = partial(self._join, uid) if self._join else None
        broker = Broker(pod, self._server, self._uid, lender=self._lender, join=join)
        noting = asyncio.create_task(self._note(uid, pod, ready))
        try:
            await broker.serve(ready)
        except (OSError, CaptureError) as error:
            # Said once: a namespace that is not there yet would fill the log.
            if str(error) != self.failed.get(uid):
                log.warning("no broker for %s/%s: %s", pod.namespace, pod.name, error)
                self.failed[uid] = str(error)
        finally:
            noting.cancel()
            self.serving.discard(uid)

    async def _note(self, uid: str, pod: Pod, ready: asyncio.Event) -> None:
        await ready.wait()
        self.serving.add(uid)
        self.failed.pop(uid, None)
        log.info("broker serves %s/%s in %s", pod.namespace, pod.name, pod.netns)
