"""Keeps one socket broker per workload that names a network namespace.

In a cluster the node agent does this; in the embedded mode the control process has the rights.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from stoq.broker.server import Broker, Pod
from stoq.capture.nft import CaptureError
from stoq.capture.plan import Plan, parse_addresses, parse_networks, parse_ports
from stoq.records.workload import Workload

log: Final = logging.getLogger(__name__)

RETRY: Final = 1.0
"""Seconds before a broker that failed is started again: its namespace may not be there yet."""


class Brokers:
    """Starts and stops brokers as workloads come, change and go."""

    def __init__(self, server: str, sidecar_uid: int) -> None:
        self._server = server
        self._uid = sidecar_uid
        self._wanted: dict[str, Pod] = {}
        self._changed = asyncio.Event()
        self._serving: set[str] = set()

    @property
    def serving(self) -> int:
        """Pods served now."""
        return len(self._serving)

    def update(self, workloads: Iterable[Workload]) -> None:
        """The workloads that there are now."""
        wanted: dict[str, Pod] = {}
        for workload in workloads:
            if workload.spec.netns:
                try:
                    wanted[workload.uid] = _pod(workload, self._uid)
                except ValueError as error:
                    log.error("%s: spec.capture: %s; it gets no broker", workload.key, error)
        if wanted != self._wanted:
            self._wanted = wanted
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
        told = ""
        while True:
            ready = asyncio.Event()
            broker = Broker(pod, self._server, self._uid)
            noting = asyncio.create_task(self._note(uid, pod, ready))
            try:
                await broker.serve(ready)
            except (OSError, CaptureError) as error:
                # Said once: a namespace that is not there yet would fill the log.
                if str(error) != told:
                    log.warning("no broker for %s/%s: %s", pod.namespace, pod.name, error)
                    told = str(error)
            finally:
                noting.cancel()
                self._serving.discard(uid)
            await asyncio.sleep(RETRY)

    async def _note(self, uid: str, pod: Pod, ready: asyncio.Event) -> None:
        await ready.wait()
        self._serving.add(uid)
        log.info("broker serves %s/%s in %s", pod.namespace, pod.name, pod.netns)


def _pod(workload: Workload, uid: int) -> Pod:
    capture = workload.spec.capture
    return Pod(
        name=workload.metadata.name,
        namespace=workload.metadata.namespace,
        netns=workload.spec.netns,
        plan=Plan(
            sidecar_uids=(uid,),
            exclude_outbound_ports=parse_ports(capture.exclude_outbound_ports),
            exclude_outbound_networks=parse_networks(capture.exclude_outbound_networks),
            exclude_inbound_ports=parse_ports(capture.exclude_inbound_ports),
            nameservers=parse_addresses(capture.nameservers),
            ipv6_only=capture.ipv6_only,
            client_address=True,
        ),
    )
