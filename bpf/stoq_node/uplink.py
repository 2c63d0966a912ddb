"""Keeps the guard on the node's uplink."""

import logging
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from stoq_node import links
from stoq_node._kernel import Guard, KernelError, Pins
from stoq_node.capabilities import GUARD, GUARD_TC, Capability, supported
from stoq_node.settings import Guard as GuardSettings

log: Final = logging.getLogger("stoq.node")

OFF: Final = "off"

Mode = Literal["native", "generic", "tc"]

PROGRAMS: Final[dict[Mode, str]] = {"native": GUARD, "generic": GUARD, "tc": GUARD_TC}
"""The program of each mode, as its links are called."""


def modes(wanted: str, found: Iterable[Capability]) -> tuple[Mode, ...]:
    """How the guard is tried, best first; none: it stays off. Pure."""
    found = tuple(found)
    if wanted == OFF or not supported(found, "guard"):
        return ()
    if wanted != "auto":
        return tuple(mode for mode in PROGRAMS if mode == wanted)
    native: tuple[Mode, ...] = ("native",) if supported(found, "guard-native") else ()
    # Generic XDP copies every packet that comes, whoever it is for: only if there is nothing else.
    return (*native, "tc" if supported(found, "guard-tc") else "generic")


class Uplink:
    """The guard of one interface."""

    def __init__(
        self,
        pins: Pins,
        guards: Mapping[str, Guard],
        interface: str,
        to_try: tuple[Mode, ...],
        settings: GuardSettings,
    ) -> None:
        """`guards` by the names of their programs. Raises `KernelError` when limits or lists do not
        fit.
        """
        self._modes = to_try
        self._settings = settings
        self._pins, self._guards = pins, guards
        self._index = 0
        self.interface = interface
        self.mode: Mode | Literal["off"] = OFF
        self.problem = ""
        """Why it is off although it should not be."""
        self.move(pins, guards)

    def move(self, pins: Pins, guards: Mapping[str, Guard]) -> None:
        """Goes on with programs that are pinned elsewhere, from the next `apply` on. Raises
        `KernelError` when limits or lists do not fit.
        """
        settings = self._settings
        for guard in guards.values():
            guard.configure(source=settings.source, ceiling=settings.ceiling)
            _list(guard, frozenset(map(str, settings.allow)), frozenset(map(str, settings.deny)))
        self._pins, self._guards, self._index = pins, guards, 0

    def apply(self) -> None:
        """Puts the guard on the interface, also one that was made anew, and takes it off others."""
        index = links.names().get(self.interface, 0)
        if not self._stays(index):
            self._attach(index)
        keep = PROGRAMS[self.mode] if self.mode != OFF else ""
        for program, guard in self._guards.items():
            for other in self._pins.attached(program):
                # What is there goes on until something takes its place, or nothing is wanted.
                if other != index or not self._modes or (keep and program != keep):
                    guard.detach(other)

    def counts(self) -> list[tuple[str, int, int]]:
        """(verdict, packets, bytes), of all programs."""
        sums: dict[str, tuple[int, int]] = {}
        for guard in self._guards.values():
            for verdict, packets, size in guard.counts():
                before = sums.get(verdict, (0, 0))
                sums[verdict] = (before[0] + packets, before[1] + size)
        return [(verdict, *both) for verdict, both in sums.items()]

    def _stays(self, index: int) -> bool:
        if not self._modes:
            return True
        if not index or index != self._index or self.mode == OFF:
            return False
        return index in self._pins.attached(PROGRAMS[self.mode])

    def _attach(self, index: int) -> None:
        self.mode, self._index = OFF, 0
        problems = [] if index else [f"there is no interface {self.interface}"]
        for mode in self._modes if index else ():
            guard = self._guards.get(PROGRAMS[mode])
            if guard is None:
                problems.append(f"{mode}: the kernel does not take {PROGRAMS[mode]}")
                continue
            try:
                new = guard.attach(index, mode)
            except KernelError as error:
                problems.append(f"{mode}: {error}")
                continue
            self.mode, self._index = mode, index
            log.info("guard %s on %s, %s", "attached" if new else "replaced", self.interface, mode)
            guard.sweep()
            break
        self._told("" if self._index else "; ".join(problems))

    def _told(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("the guard is off: %s", problem)
        self.problem = problem


def _list(guard: Guard, allow: frozenset[str], deny: frozenset[str]) -> None:
    for network in allow:
        guard.allow(network)
    for network in deny:
        guard.deny(network)
    for network in guard.listed():
        if network not in allow | deny:
            guard.unlist(network)
