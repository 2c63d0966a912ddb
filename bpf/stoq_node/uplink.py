"""Keeps the guard on the node's uplink."""

import logging
from collections.abc import Iterable
from typing import Final, Literal

from stoq_node import links
from stoq_node._kernel import Guard, KernelError, Pins
from stoq_node.capabilities import Capability, supported
from stoq_node.settings import Guard as GuardSettings

log: Final = logging.getLogger("stoq.node")

PROGRAM: Final = "xdp_guard"
OFF: Final = "off"

Mode = Literal["native", "generic"]


def modes(wanted: str, found: Iterable[Capability]) -> tuple[Mode, ...]:
    """How the guard is tried, best first; none: it stays off. Pure."""
    found = tuple(found)
    if wanted == OFF or not supported(found, "guard"):
        return ()
    if wanted == "native":
        return ("native",)
    if wanted == "auto" and supported(found, "guard-native"):
        return ("native", "generic")
    return ("generic",)


class Uplink:
    """The guard of one interface."""

    def __init__(
        self,
        pins: Pins,
        guard: Guard,
        interface: str,
        to_try: tuple[Mode, ...],
        settings: GuardSettings,
    ) -> None:
        """Raises `KernelError` when limits or lists do not fit."""
        self._pins = pins
        self._modes = to_try
        self._guard = guard
        self._index = 0
        self.interface = interface
        self.mode: Mode | Literal["off"] = OFF
        self.problem = ""
        """Why it is off although it should not be."""
        self._guard.configure(source=settings.source, ceiling=settings.ceiling)
        self._list(frozenset(map(str, settings.allow)), frozenset(map(str, settings.deny)))

    def apply(self) -> None:
        """Puts the guard on the interface, also one that was made anew, and takes it off others."""
        index = links.names().get(self.interface, 0)
        attached = self._pins.attached(PROGRAM)
        for other in attached:
            if other != index or not self._modes:
                self._guard.detach(other)
        if not self._modes or (index and index == self._index and index in attached):
            return
        self.mode, self._index = OFF, 0
        problems = [] if index else [f"there is no interface {self.interface}"]
        for mode in self._modes if index else ():
            try:
                new = self._guard.attach(index, mode)
            except KernelError as error:
                problems.append(f"{mode}: {error}")
                continue
            self.mode, self._index = mode, index
            log.info("guard %s on %s, %s", "attached" if new else "replaced", self.interface, mode)
            self._guard.sweep()
            break
        self._told("" if self._index else "; ".join(problems))

    def counts(self) -> list[tuple[str, int, int]]:
        """(verdict, packets, bytes)."""
        return self._guard.counts()

    def _list(self, allow: frozenset[str], deny: frozenset[str]) -> None:
        for network in allow:
            self._guard.allow(network)
        for network in deny:
            self._guard.deny(network)
        for network in self._guard.listed():
            if network not in allow | deny:
                self._guard.unlist(network)

    def _told(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("the guard is off: %s", problem)
        self.problem = problem
