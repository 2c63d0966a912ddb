"""Keeps the guard on the node's uplink."""

import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final, Literal

from stoq_node import links
from stoq_node._kernel import Guard, KernelError, Pins
from stoq_node.capabilities import GUARD, GUARD_TC, Capability, supported
from stoq_node.pinned import Folder
from stoq_node.programs import STAGES, guard
from stoq_node.settings import Guard as GuardSettings

log: Final = logging.getLogger("stoq.node")

OFF: Final = "off"

RETRY_SECONDS: Final = 30.0
"""Until an interface that took the guard in no mode is tried again: each time loads programs."""

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
    """The guard of one interface. Only that of the mode it runs in is loaded."""

    def __init__(
        self,
        folder: Folder,
        interface: str,
        to_try: tuple[Mode, ...],
        settings: GuardSettings,
        load: Callable[[str, Pins], Guard] = guard,
    ) -> None:
        """Nothing happens before `apply`."""
        self._folder = folder
        self._modes = to_try
        self._settings = settings
        self._load = load
        self._guard: Guard | None = None
        self._program = ""
        """Its name."""
        self._index = 0
        self._retry = (0, 0.0)
        """The interface that took none, and when it is tried again."""
        self.interface = interface
        self.mode: Mode | Literal["off"] = OFF
        self.problem = ""
        """Why it is off although it should not be."""

    def move(self, folder: Folder) -> None:
        """Goes on with programs that are pinned elsewhere, from the next `apply` on."""
        self._let_go()
        self._folder, self._index, self._retry = folder, 0, (0, 0.0)

    def apply(self) -> None:
        """Puts the guard on the interface, also one that was made anew, and takes it off others."""
        index = links.names().get(self.interface, 0)
        if not self._stays(index):
            self._attach(index)
        keep = PROGRAMS[self.mode] if self.mode != OFF else ""
        for program in STAGES:
            attached = self._folder.pins.attached(program)
            # What is there goes on until something takes its place, or nothing is wanted.
            old = [
                other
                for other in attached
                if other != index or not self._modes or (keep and program != keep)
            ]
            for other in old:
                self._folder.unpin(program, other)
            if program != self._program and len(old) == len(attached):
                self._folder.forget(program)

    def counts(self) -> list[tuple[str, int, int]]:
        """(verdict, packets, bytes) of the guard that runs."""
        return self._guard.counts() if self._guard is not None else []

    def _stays(self, index: int) -> bool:
        if not self._modes or (index and index == self._retry[0] and self._retry[1] > monotonic()):
            return True
        if not index or index != self._index or self.mode == OFF:
            return False
        return index in self._folder.pins.attached(PROGRAMS[self.mode])

    def _attach(self, index: int) -> None:
        self.mode, self._index, self._retry = OFF, 0, (0, 0.0)
        problems = [] if index else [f"there is no interface {self.interface}"]
        for mode in self._modes if index else ():
            try:
                found = self._loaded(PROGRAMS[mode])
                new = found.attach(index, mode)
            except KernelError as error:
                problems.append(f"{mode}: {error}")
                continue
            self.mode, self._index = mode, index
            log.info("guard %s on %s, %s", "attached" if new else "replaced", self.interface, mode)
            found.sweep()
            break
        else:
            self._let_go()
            self._retry = (index, monotonic() + RETRY_SECONDS)
        self._told("" if self._index else "; ".join(problems))

    def _loaded(self, program: str) -> Guard:
        """The guard with its limits and lists; another one is let go."""
        if self._guard is not None and self._program == program:
            return self._guard
        self._let_go()
        found = self._load(program, self._folder.pins)
        settings = self._settings
        found.configure(source=settings.source, ceiling=settings.ceiling)
        _list(found, frozenset(map(str, settings.allow)), frozenset(map(str, settings.deny)))
        self._guard, self._program = found, program
        return found

    def _let_go(self) -> None:
        """Of the program in this process; where it is attached it runs on by its pins."""
        self._guard, self._program = None, ""

    def _told(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("the guard is off: %s", problem)
        self.problem = problem


def _list(found: Guard, allow: frozenset[str], deny: frozenset[str]) -> None:
    for network in allow:
        found.allow(network)
    for network in deny:
        found.deny(network)
    for network in found.listed():
        if network not in allow | deny:
            found.unlist(network)
