"""Says by Events which pods are not enforced as they should be, and why."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from stoq_node.notices import Notices
from stoq_node.pods import Pod

LOOK_SECONDS: Final = 2.0
"""Between two looks."""

PATIENCE: Final = 10.0
"""Seconds until an Event: a pod whose link is not found yet often comes right."""


class Complaints:
    """About the pods of one node. `run` must run beside, and holds up nobody else."""

    def __init__(self, notices: Notices, patience: float = PATIENCE) -> None:
        self._notices = notices
        self._patience = patience
        self._since: dict[str, float] = {}

    async def run(
        self, pods: Callable[[], Iterable[Pod]], failed: Callable[[], Mapping[str, str]]
    ) -> None:
        """Looks at what there is to say of `pods`, by `namespace/name`, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self.look(loop.time(), pods(), failed())
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: float, pods: Iterable[Pod], failed: Mapping[str, str]) -> None:
        """Says what is to be said `now`, in seconds of any epoch."""
        wrong = {pod.uid: pod for pod in pods if pod.key in failed and pod.uid}
        self._notices.forget(self._since.keys() - wrong.keys())
        self._since = {uid: self._since.get(uid, now) for uid in wrong}
        for uid, pod in wrong.items():
            if now - self._since[uid] >= self._patience:
                why = failed[pod.key]
                await self._notices.say(pod, f"the kernel does not enforce this pod: {why}")
