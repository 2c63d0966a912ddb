"""Serves a broker in each pod of this node whose sidecar waits for one, and programs its capture.

Capture is in force before a sidecar gets its sockets, and stays when the pod's broker, or the
agent, ends. A pod that can not be served is told so by an Event; its application does not start.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from stoq import constants
from stoq.broker.keeper import Keeper
from stoq.broker.lending import Lender
from stoq.broker.protocol import Offer, Spliced
from stoq.broker.server import Pod as Served
from stoq.records.policy import effective
from stoq_node import namespaces
from stoq_node.capturing import Unreadable, plan, wanted
from stoq_node.consents import Member
from stoq_node.enrolment import Meshed, Surround
from stoq_node.namespaces import Look, NotThere
from stoq_node.notices import Notices

log: Final = logging.getLogger("stoq.node")

SERVER: Final = f"stoq-node/{constants.VERSION}"

AGAIN_SECONDS: Final = 0.5
"""Between two looks for namespaces that are not found."""

PATIENCE: Final = 10.0
"""Seconds until an Event tells of a pod that is not served: what is slow often comes right."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod, and the index of the host's end of its link."""

    pod: Meshed
    link: int


class Captures:
    """Brokers for the pods that `update` names. `run` must run beside."""

    def __init__(
        self,
        folder: str,
        notices: Notices,
        look: Look = namespaces.look,
        patience: float = PATIENCE,
        lender: Lender | None = None,
    ) -> None:
        """`folder` is where the runtime keeps the namespaces of pods."""
        self._look = partial(look, folder)
        self._notices = notices
        self._patience = patience
        self._lender = lender
        self._keeper = Keeper(SERVER, constants.SIDECAR_UID, lender=lender)
        self._placed: dict[str, Placed] = {}
        self._around: Surround | None = None
        self._served: dict[str, tuple[Placed, Served]] = {}
        self._refused: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._splices = False

    def splices(self, join: Callable[[str, Offer], Spliced]) -> None:
        """From now on `join` takes what sidecars offer, by their pods' uids. Before `run` only."""
        self._keeper = Keeper(SERVER, constants.SIDECAR_UID, lender=self._lender, join=join)
        self._splices = True

    @property
    def members(self) -> dict[str, Member]:
        """The pods that are served and whose policies let them be joined, by uid."""
        found: dict[str, Member] = {}
        for uid in self._keeper.serving & self._served.keys() & self._placed.keys():
            placed, around = self._placed[uid], self._around
            pod = placed.pod
            if around is None or placed.link != self._served[uid][0].link:
                continue
            held = effective(around.mesh, around.policies, pod.namespace, pod.labels)
            if held.node_local == "splice":
                found[uid] = Member(
                    f"{pod.namespace}/{pod.name}",
                    frozenset(pod.addresses),
                    placed.link,
                    self._served[uid][1].netns,
                    pod.service_account,
                )
        return found

    @property
    def serving(self) -> int:
        """Pods that are captured, and whose sidecars are answered."""
        return len(self._keeper.serving)

    @property
    def failed(self) -> dict[str, str]:
        """Why pods that are placed are not served, by `namespace/name`."""
        why = {**self._keeper.failed, **self._refused}
        return {
            f"{placed.pod.namespace}/{placed.pod.name}": why[uid]
            for uid, placed in self._placed.items()
            if uid in why
        }

    @property
    def waiting(self) -> int:
        """Pods that are neither served nor failed."""
        return len(self._placed) - self.serving - len(self.failed)

    def update(self, placed: Iterable[Placed], around: Surround) -> None:
        """The pods of this node whose links are known."""
        found = {one.pod.uid: one for one in placed if wanted(one.pod)}
        if found != self._placed or around != self._around:
            self._placed, self._around = found, around
            self._changed.set()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run())
            tasks.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), AGAIN_SECONDS)
            self._changed.clear()
            await self._settle()
            await self._tell()

    async def _settle(self) -> None:
        placed, around = self._placed, self._around
        # What is served stays so while it is the same pod, at the same link: its namespace does
        # not change, nor does what its sidecar was made with.
        self._served = {
            uid: (before, pod)
            for uid, (before, pod) in self._served.items()
            if uid in placed and placed[uid].link == before.link
        }
        self._refused = {uid: why for uid, why in self._refused.items() if uid in placed}
        new = {uid: one for uid, one in placed.items() if uid not in self._served}
        if new and around is not None:
            await self._find(new, around)
        self._keeper.update({uid: pod for uid, (_, pod) in self._served.items()})

    async def _find(self, new: Mapping[str, Placed], around: Surround) -> None:
        asked = {one.link: one.pod.addresses for one in new.values()}
        try:
            found = await asyncio.to_thread(self._look, asked)
        except OSError as error:
            found = dict.fromkeys(asked, NotThere(f"namespaces cannot be looked for: {error}"))
        for uid, one in new.items():
            where = found[one.link]
            try:
                if isinstance(where, NotThere):
                    raise where
                rules = plan(one.pod, around, where.gateways, splice=self._splices)
            except (NotThere, Unreadable) as error:
                self._refuse(uid, one, str(error))
                continue
            self._refused.pop(uid, None)
            self._served[uid] = one, Served(one.pod.name, one.pod.namespace, where.path, rules)

    def _refuse(self, uid: str, one: Placed, why: str) -> None:
        if self._refused.get(uid) != why:
            log.error("%s/%s: no capture: %s", one.pod.namespace, one.pod.name, why)
        self._refused[uid] = why

    async def _tell(self) -> None:
        now = asyncio.get_running_loop().time()
        why = {**self._keeper.failed, **self._refused}
        self._notices.forget(self._since.keys() - why.keys())
        self._since = {uid: self._since.get(uid, now) for uid in why}
        for uid, since in self._since.items():
            one = self._placed.get(uid)
            if one is not None and now - since >= self._patience:
                told = f"the pod stays closed, its traffic is not captured: {why[uid]}"
                await self._notices.say(one.pod, told)
