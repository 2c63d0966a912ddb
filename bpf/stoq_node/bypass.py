"""Raises the alarm about pods whose plaintext goes past their sidecars.

At intervals it reads what the kernel has counted on the links of pods, then asks their sidecars,
and has each pod's `ledger` judge. An alarm stands for as long as bytes are found, and some time
beyond.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from stoq.capture.plan import Address
from stoq.plaintext import Figures
from stoq_node import routes, sidecars
from stoq_node._kernel import KernelError
from stoq_node.enforce import Enforcer
from stoq_node.ledger import LAGS, PROTOCOLS, Ledger, Mute, Protocol, Seen, said
from stoq_node.notices import Notices
from stoq_node.pods import Pod
from stoq_node.tally import Flow

log: Final = logging.getLogger("stoq.node")

CLEAR_SECONDS: Final = 600.0
"""Without a byte more, until an alarm is over."""

PEERS: Final = 5
"""Addresses that an alarm names."""

KEPT: Final = 256
"""Addresses that are kept for it: a sidecar may be mute for as long as it likes."""

AT_ONCE: Final = 64
"""Sidecars that are asked at a time."""

Ask = Callable[[Iterable[Address]], Awaitable[Figures | Mute]]
"""What `sidecars.ask` does."""


@dataclass(slots=True)
class _Side:
    """What is known of a pod's plaintext of one protocol."""

    ledger: Ledger
    mute: str = ""
    """Why its sidecar has not said anything."""
    peers: Counter[str] = field(default_factory=Counter)
    """To whom it has sent plaintext, and how much, since nothing was missing."""
    told: str = ""
    """What there is to say of it while its alarm stands."""
    found: int = 0
    """Bytes of that alarm."""
    last: float = 0.0
    """When it last grew."""


@dataclass(slots=True)
class _Watched:
    """A pod, and what is known of it."""

    pod: Pod
    sides: dict[Protocol, _Side] = field(
        default_factory=lambda: {one: _Side(Ledger(LAGS[one])) for one in PROTOCOLS}
    )

    @property
    def judged(self) -> dict[Protocol, _Side]:
        """Those that there is something to judge of: UDP that is not captured passes as it is."""
        return {one: side for one, side in self.sides.items() if one == "tcp" or not self.pod.udp}

    @property
    def known(self) -> bool:
        """Whether its sidecar speaks."""
        return all(side.ledger.judged and not side.mute for side in self.judged.values())

    @property
    def told(self) -> str:
        """What there is to say of it; empty while no alarm stands."""
        return "; ".join(side.told for side in self.sides.values() if side.found)


class Bypasses:
    """The alarms of a node. `run` must run beside."""

    def __init__(
        self,
        enforcer: Enforcer,
        seconds: float,
        notices: Notices | None = None,
        ask: Ask = sidecars.ask,
        own: Callable[[], Iterable[Address]] = routes.own,
    ) -> None:
        """Every so many `seconds` sidecars are asked; `own` gives the node's addresses. Events are
        written where there are `notices`.
        """
        self._enforcer = enforcer
        self._seconds = seconds
        self._notices = notices
        self._ask = ask
        self._own = own
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._problem = ""
        self.bytes: Counter[Flow] = Counter()
        """Found so far; 0 of those for whom nothing was."""

    @property
    def alarms(self) -> dict[str, str]:
        """What there is to say of each pod whose alarm stands, by `namespace/name`."""
        return {one.pod.key: one.told for one in self._watched.values() if one.told}

    @property
    def states(self) -> dict[str, int]:
        """How many pods have an alarm, are accounted for, or cannot be judged."""
        found = Counter(
            "bypassed" if one.told else "accounted" if one.known else "unknown"
            for one in self._watched.values()
        )
        return {state: found[state] for state in ("accounted", "bypassed", "unknown")}

    async def run(self) -> None:
        """Looks until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self.look(loop.time())
            await asyncio.sleep(self._seconds)

    async def look(self, now: float) -> None:
        """Judges all pods once; `now` in seconds."""
        try:
            self._count()
            answers = await self._asked()
            for one, answer in answers:
                await self._judge(now, one, answer)
            # The asking itself is exempt: it shall not hide what leaves until the next time.
            self._count()
        except (KernelError, OSError) as error:
            if str(error) != self._problem:
                log.error("plaintext past sidecars is not looked for: %s", error)
            self._problem = str(error)
        else:
            self._problem = ""

    def _count(self) -> None:
        """Reads the kernel. What is excused is read on both sides of what left, since the kernel
        counts on between two maps.
        """
        tally = self._enforcer.tally
        tally.near = frozenset(map(str, self._own()))
        self._enforcer.read()
        left, before = Counter(tally.left), Counter(tally.excused)
        self._enforcer.read()
        self._follow(self._enforcer.pods)
        for key, one in self._watched.items():
            for protocol, side in one.judged.items():
                flow = (*key, protocol)
                side.ledger.count(Seen(left[flow], before[flow], tally.excused[flow]))
                peers = side.peers + tally.peers(one.pod, protocol)
                side.peers = Counter(dict(peers.most_common(KEPT)))

    async def _asked(self) -> list[tuple[_Watched, Figures | Mute]]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def asked(one: _Watched) -> tuple[_Watched, Figures | Mute]:
            async with gate:
                return one, await self._ask(one.pod.addresses)

        return await asyncio.gather(*map(asked, self._watched.values()))

    def _follow(self, pods: Iterable[Pod]) -> None:
        kept = {}
        for pod in pods:
            key = (pod.namespace, pod.name)
            known = self._watched.get(key)
            # A pod of the same name may be another one.
            if known is None or known.pod.uid != pod.uid:
                known = _Watched(pod)
            known.pod = pod
            kept[key] = known
        if self._notices is not None:
            gone = {one.pod.uid for one in self._watched.values()}
            self._notices.forget(gone - {one.pod.uid for one in kept.values()})
        self._watched = kept
        for flow in [flow for flow in self.bytes if flow[:2] not in kept]:
            del self.bytes[flow]

    async def _judge(self, now: float, one: _Watched, answer: Figures | Mute) -> None:
        before = one.told
        raised = [
            self._look(now, one, protocol, side, answer) for protocol, side in one.judged.items()
        ]
        if self._notices is None:
            return
        if any(raised):
            await self._notices.say(one.pod, one.told)
        elif before and not one.told:
            self._notices.forget({one.pod.uid})

    def _look(
        self, now: float, one: _Watched, protocol: Protocol, side: _Side, answer: Figures | Mute
    ) -> bool:
        """Whether an alarm begins."""
        heard = said(protocol, answer)
        found = side.ledger.look(now, heard)
        why = heard.why if isinstance(heard, Mute) else ""
        others = {other.mute for other in one.sides.values()}
        if why and why not in others:
            log.info("%s: what it sends in plaintext is not known: %s", one.pod.key, why)
        side.mute = why
        if side.ledger.judged:
            self.bytes[one.pod.namespace, one.pod.name, protocol] += found
        first = bool(found) and not side.found
        if found:
            side.found, side.last = side.found + found, now
            if first:
                side.told = told(one.pod, protocol, side.peers)
                log.error("%s: %s (%d bytes so far)", one.pod.key, side.told, side.found)
        elif side.found and now - side.last >= CLEAR_SECONDS:
            log.info("%s: nothing more went past its sidecar by %s", one.pod.key, protocol.upper())
            side.found = 0
        # While it is mute nothing is judged; what left meanwhile is when it speaks again.
        if not why and not side.ledger.short:
            side.peers.clear()
        return first


def told(pod: Pod, protocol: Protocol, peers: Counter[str]) -> str:
    """What an alarm says of `pod`, which has sent plaintext to `peers`. Pure."""
    named = [peer for peer, _ in peers.most_common(PEERS)]
    more = f" and {len(peers) - len(named)} more" if len(peers) > len(named) else ""
    return (
        f"{protocol.upper()} leaves the pod in plaintext past its sidecar, and no setting lets it: "
        "capture was removed, a program runs as the sidecar's user, or the pod began before its "
        f"capture. It is among what went to {', '.join(named)}{more}. On its node stoq-node trace "
        f"--pod {pod.key} names the program"
    )
