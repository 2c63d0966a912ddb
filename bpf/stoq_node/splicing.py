"""Joins pods of this node whose sidecars both want it, and parts them when one does not any more.

What joins two pods holds for some seconds and is made to hold on, in the kernel's map as in the
rules inside the pods. So it ends by itself when the agent ends, and a successor that comes in time
goes on with it.

Order: packets have their way before connections may be opened on it, and lose it after.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Final

from stoq.broker.protocol import Offer, Spliced
from stoq.capture.nft import CaptureError
from stoq_node import inpods
from stoq_node._kernel import KernelError, Pins, Splice
from stoq_node.consents import CONSENT_SECONDS, Consents, End, Member, Pair
from stoq_node.flows import Flow

log: Final = logging.getLogger("stoq.node")

PROGRAM: Final = "splice_from_pod"

HOLD_SECONDS: Final = 10
"""For which it holds in the kernel without this agent: an agent that is updated is back by then."""

GRACE_SECONDS: Final = CONSENT_SECONDS + 3.0
"""For which what a predecessor joined holds, and no longer before sidecars have offered it to this
agent: longer than it waits for them, so that what they agree on goes on without a gap.
"""

AT_ONCE: Final = 4
"""Pods that are told of their pairs at a time: threads are others' too, and one pod that is slow to
take it shall not have all of them wait until their time is over.
"""

LOOK_SECONDS: Final = 0.5
"""Between two looks at what has come to its end."""

RETRY_SECONDS: Final = 10.0
"""Until a pod that could not be joined is tried again."""

Entry = tuple[int, str, int, str, int]


class Splicer:
    """Keeps the kernel and the pods as the offers that hold want them. `run` must run beside."""

    def __init__(
        self, splice: Splice, pins: Pins, members: Callable[[], Mapping[str, Member]]
    ) -> None:
        """`members` tells the pods that may be joined now, by uid. Raises `KernelError`."""
        self._splice = splice
        self._pins = pins
        self._members = members
        self._consents = Consents()
        self._in_force: frozenset[Pair] = frozenset()
        self._renew_at = 0.0
        self._attached: set[int] = set()
        now = monotonic()
        self._inherited: dict[Entry, int] = dict(splice.pairs())
        """Put in force by a predecessor, and until when."""
        self._revive_none(now)
        self._since = now
        """When it began: `CONSENT_SECONDS` later sidecars have made their offers again."""
        self._retry: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._last: dict[int, tuple[int, int]] = {}
        self._names: dict[int, str] = {}
        self.failed: dict[str, str] = {}
        """Why a pod cannot be joined, by `namespace/name`."""
        self.packets: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        """What left pods past their sidecars, by `namespace/name`, while they may be joined."""
        self.resets = 0
        """Connections that were ended with their agreement."""

    @property
    def pairs(self) -> int:
        """Of addresses and a port that are joined."""
        return len(self._in_force)

    def join(self, uid: str, offer: Offer) -> Spliced:
        """Takes what a sidecar offers (`stoq.broker.server.Join`)."""
        if self._consents.offer(uid, offer, monotonic()):
            self._changed.set()
        own = sum(uid in {pair.client.uid, pair.server.uid} for pair in self._in_force)
        return Spliced(seconds=CONSENT_SECONDS, pairs=own)

    def lead(self, links: Iterable[int]) -> None:
        """Puts the program in front again on links where others were attached. Raises
        `KernelError`; it is then done at the next look.
        """
        for link in self._attached.intersection(links):
            self._attached.discard(link)
            self._splice.detach(link)
            self._attach(link)

    def move(self, pins: Pins, splice: Splice) -> None:
        """Goes on with a program that is pinned elsewhere, from the next look on."""
        self.read()
        self._pins, self._splice = pins, splice
        self._attached, self._last, self._renew_at = set(), {}, 0.0

    def read(self) -> None:
        """Books what the kernel has counted since the last call."""
        for link, packets, size in self._splice.counts():
            before = self._last.get(link, (0, 0))
            # Less than before: the link is another pod's, with the same number.
            if packets < before[0]:
                before = (0, 0)
            self._last[link] = (packets, size)
            if pod := self._names.get(link):
                self.packets[pod] += packets - before[0]
                self.bytes[pod] += size - before[1]

    async def run(self) -> None:
        """Works until cancelled; what is in force then ends within `HOLD_SECONDS`."""
        while True:
            self._changed.clear()
            try:
                await self._settle(monotonic())
            except KernelError as error:
                log.error("pods are not joined: %s; it is tried again", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)

    async def _settle(self, now: float) -> None:
        members = self._members()
        self._forget(members)
        wanted = self._wanted(members, now)
        gone, fresh = self._in_force - wanted, wanted - self._in_force
        due = bool(wanted) and now >= self._renew_at
        if due:
            self._renew_at = now + HOLD_SECONDS / 2
        until = self._since + GRACE_SECONDS if self._inherited else now + HOLD_SECONDS
        # All, if a pod is told anything: what it is told is about all of its pairs.
        self._hold(wanted, wanted if due or fresh or gone else frozenset(), until, now)
        # Who has no way in the kernel must not hear of one: it would speak past its sidecar for
        # everybody on the node's network.
        failed, wanted = wanted, self._untroubled(wanted)
        for pair in failed - wanted - self._in_force:
            self._splice.part(pair.entry)
        gone, fresh = self._in_force - wanted, wanted - self._in_force
        # Who dials learns of it last, and forgets it first.
        await self._program(gone | fresh, wanted - fresh, wanted | gone, until)
        await self._program(wanted | gone if due else gone | fresh, wanted, wanted, until)
        self._in_force |= fresh
        for pair in fresh:
            log.info("joined: %s", pair)
        for pair in gone:
            self._splice.part(pair.entry)
            log.info("parted: %s", pair)
        self._in_force -= gone
        await self._reset(gone)
        self._let_go()

    def _wanted(self, members: Mapping[str, Member], now: float) -> frozenset[Pair]:
        agreed = self._consents.agreed(members, now)
        if self._inherited:
            self._revive_none(now)
            inherited = {entry: _known(entry, members) for entry in self._inherited}
            known = frozenset(pair for pair in inherited.values() if pair is not None)
            if now < self._since + CONSENT_SECONDS:
                self._in_force |= known
                agreed |= {pair for pair in known if not self._consents.refused(pair)}
            else:
                # The others, whose pods are not there any more, go as they are.
                for entry in self._inherited.keys() - {pair.entry for pair in agreed}:
                    self._splice.part(entry)
                self._inherited, self._renew_at = {}, 0.0
        self._retry = {uid: due for uid, due in self._retry.items() if due > now}
        there = {member.key for uid, member in members.items() if uid in self._retry}
        self.failed = {pod: why for pod, why in self.failed.items() if pod in there}
        return self._untroubled(agreed)

    def _revive_none(self, now: float) -> None:
        """Of what is inherited: what was over before this agent could hold on to it."""
        held = {pair.entry for pair in self._in_force}
        for entry, until_ns in list(self._inherited.items()):
            if until_ns <= now * 1e9 and entry not in held:
                self._splice.part(entry)
                del self._inherited[entry]

    def _untroubled(self, pairs: frozenset[Pair]) -> frozenset[Pair]:
        """Those of pods with which nothing has failed lately."""
        return frozenset(
            pair
            for pair in pairs
            if pair.client.uid not in self._retry and pair.server.uid not in self._retry
        )

    def _forget(self, members: Mapping[str, Member]) -> None:
        """What was counted of pods that are no more: their names would become ever more."""
        kept = {member.key for member in members.values()} | set(self._names.values())
        for sums in (self.packets, self.bytes):
            for pod in sums.keys() - kept:
                del sums[pod]

    def _hold(
        self, wanted: Iterable[Pair], moved: frozenset[Pair], until: float, now: float
    ) -> None:
        """Has the program on the links of all pairs, and the time of some moved on."""
        self._attached &= set(self._pins.attached(PROGRAM))
        for pair in wanted:
            ends = (pair.client, pair.server)
            try:
                for end in ends:
                    self._names[end.link] = end.pod
                    if end.link not in self._attached:
                        self._attach(end.link)
                if pair in moved:
                    self._splice.join(pair.entry, int(until * 1e9))
            except KernelError as error:
                for end in ends:
                    self._fail(end, str(error), now)

    def _attach(self, link: int) -> None:
        self._splice.attach(link)
        self._attached.add(link)

    async def _program(
        self,
        touched: Iterable[Pair],
        dialled: frozenset[Pair],
        taken: frozenset[Pair],
        until: float,
    ) -> None:
        """Has the pods of `touched` dial as `dialled` says, and be dialled as `taken` does."""
        pods = {end.uid: end for pair in touched for end in (pair.client, pair.server)}
        gate = asyncio.Semaphore(AT_ONCE)

        async def told(uid: str, end: End) -> None:
            out = [(p.server.address, p.port) for p in dialled if p.client.uid == uid]
            into = [(p.client.address, p.port) for p in taken if p.server.uid == uid]
            async with gate:
                # No longer than packets have their way: then they would go by the node's network.
                left = int(until - monotonic())
                if left < 1:
                    out, into, left, self._renew_at = [], [], 1, 0.0
                try:
                    await asyncio.to_thread(inpods.program, end.netns, out, into, left)
                except (CaptureError, OSError) as error:
                    # One that is gone has nothing to be taken out of.
                    if out or into:
                        self._fail(end, str(error), monotonic())

        await asyncio.gather(*(told(uid, end) for uid, end in pods.items()))

    def _fail(self, end: End, why: str, now: float) -> None:
        if self.failed.get(end.pod) != why:
            log.error("%s: cannot be joined with others: %s", end.pod, why)
        self.failed[end.pod] = why
        self._retry[end.uid] = now + RETRY_SECONDS
        self._changed.set()

    async def _reset(self, gone: Iterable[Pair]) -> None:
        places: dict[str, set[tuple[str, str, int]]] = {}
        for pair in gone:
            ends = (str(pair.client.address), str(pair.server.address), pair.port)
            for end in (pair.client, pair.server):
                places.setdefault(end.netns, set()).add(ends)
        for netns, ends_ in places.items():

            def over(flow: Flow, ends: set[tuple[str, str, int]] = ends_) -> bool:
                return (str(flow.source), str(flow.destination), flow.destination_port) in ends

            try:
                self.resets += await asyncio.to_thread(inpods.reset, netns, over)
            except OSError as error:
                log.info("connections in %s end when they next send: %s", netns, error)

    def _links(self) -> set[int]:
        return {end.link for pair in self._in_force for end in (pair.client, pair.server)}

    def _let_go(self) -> None:
        needed = self._links()
        idle = set(self._pins.attached(PROGRAM)) - needed
        if self._inherited or not idle:
            return
        self.read()
        for link in idle:
            self._splice.detach(link)
            self._splice.forget(link)
            self._attached.discard(link)
            self._last.pop(link, None)
            self._names.pop(link, None)
        if not needed:
            self._splice.sweep()


def _known(entry: Entry, members: Mapping[str, Member]) -> Pair | None:
    """The pair of an entry, if both of its pods are there."""
    client, source, server, destination, port = entry
    ends = []
    for link, text in ((client, source), (server, destination)):
        found = (
            End(uid, member.key, link, member.netns, address)
            for uid, member in members.items()
            if member.link == link
            for address in member.addresses
            if str(address) == text
        )
        ends.append(next(found, None))
    return Pair(ends[0], ends[1], port) if ends[0] and ends[1] else None
