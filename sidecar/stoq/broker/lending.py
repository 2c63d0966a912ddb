"""An interface's AF_XDP sockets on their way from who can open them to the engine.

Unlike other sockets of the broker they are not kept: the kernel's program takes datagrams for as
long as somebody holds them, and that shall be the engine alone. Of their memory the broker keeps
hold, to take it away when more is lent: whoever got it may keep it for as long as he likes, and it
counts as the broker's.
"""

import ctypes
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stoq.broker import channel
from stoq.broker.protocol import AfXdp, Role, SocketInfo


class NotLent(Exception):
    """The pod's interface cannot be lent; the text says why."""


@dataclass(frozen=True, slots=True)
class Lent:
    """Descriptors, owned by whoever has this. `queues` are pairs of socket and memory, in the order
    of the interface's queues. With `scattered` a frame may take several chunks; `left` says why
    larger ones go by the stack, where some do.
    """

    interface: str
    ring: int
    chunk: int
    program: int
    taken: int
    queues: tuple[tuple[int, int], ...]
    scattered: bool = False
    left: str = ""

    def described(self) -> tuple[AfXdp, list[tuple[SocketInfo, int]]]:
        """What is said of it, and each descriptor with its role."""
        passed = [(Role.XSK_PROGRAM, 0, self.program), (Role.XSK_TAKEN, 0, self.taken)]
        for number, (socket, memory) in enumerate(self.queues):
            passed += [(Role.XSK, number, socket), (Role.XSK_MEMORY, number, memory)]
        told = AfXdp(
            interface=self.interface,
            ring=self.ring,
            chunk=self.chunk,
            scattered=self.scattered,
            left=self.left,
        )
        return told, [(SocketInfo(role, 0, number), fd) for role, number, fd in passed]

    @property
    def descriptors(self) -> list[int]:
        """All of them."""
        return [fd for _, fd in self.described()[1]]


log: Final = logging.getLogger("stoq.broker")

BURST: Final = 4
"""Times that one pod is lent its interface at once: a sidecar asks once at its start."""

AGAIN_SECONDS: Final = 15.0
"""After which it is lent once more. To lend takes some milliseconds of the broker's own, loads a
program and pins memory, so that a sidecar that does nothing but ask would have the node's CPU."""

_PUNCH_HOLE: Final = 0x02 | 0x01
"""FALLOC_FL_PUNCH_HOLE, which takes FALLOC_FL_KEEP_SIZE (linux/falloc.h)."""


class Allowance:
    """How often one pod is lent its interface."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full = clock()
        """When all of `BURST` are there again."""

    def spend(self) -> None:
        """Once. Raises NotLent when it has been too often."""
        now = self._clock()
        full = max(self._full, now) + AGAIN_SECONDS
        if (late := full - now - BURST * AGAIN_SECONDS) > 0:
            raise NotLent(
                f"no AF_XDP: the interface was lent {BURST} times lately, and is again in "
                f"{late:.0f} s; whoever asks so often should ask once, at his start"
            )
        self._full = full


class Memories:
    """The memory of what was last lent to one pod. Until `close` its room is never more than that
    of two times.
    """

    def __init__(self) -> None:
        self._held: list[int] = []

    def replace(self, lent: Lent) -> None:
        """Takes away what was lent before: the interface has sockets anew, so those of before are
        closed, and nothing uses it. Who still maps it has zeros, on his own account. Raises
        OSError, and changes nothing then.
        """
        fresh: list[int] = []
        try:
            for _, memory in lent.queues:
                fresh += [os.dup(memory)]
        except OSError:
            channel.close(fresh)
            raise
        for memory in self._held:
            _empty(memory)
        self.close()
        self._held = fresh

    def close(self) -> None:
        """Lets go of it; it is there for as long as somebody holds it."""
        channel.close(self._held)
        self._held = []


def _empty(memory: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_int64(os.fstat(memory).st_size)
    if libc.fallocate64(memory, _PUNCH_HOLE, ctypes.c_int64(0), size) != 0:
        why = os.strerror(ctypes.get_errno())
        log.warning("memory of AF_XDP that was lent before stays: %s", why)


Lender = Callable[[], Lent]
"""Lends the interface of the network namespace of the calling thread. Raises NotLent."""


def sorted_out(told: AfXdp | None, by_role: dict[Role, list[tuple[int, int]]]) -> Lent | None:
    """What was passed, by role with number and descriptor; None for nothing.

    Raises ValueError for what is not whole.
    """
    sockets, memories = sorted(by_role[Role.XSK]), sorted(by_role[Role.XSK_MEMORY])
    program, taken = by_role[Role.XSK_PROGRAM], by_role[Role.XSK_TAKEN]
    if not (sockets or memories or program or taken):
        return None
    numbers = [number for number, _ in sockets]
    whole = numbers == list(range(len(sockets))) == [number for number, _ in memories]
    if told is None or not sockets or not whole or (len(program), len(taken)) != (1, 1):
        raise ValueError(
            f"{len(sockets)} xsk, {len(memories)} xsk-memory, {len(program)} xsk-program and "
            f"{len(taken)} xsk-taken; needed are one each, and of the first two as many"
        )
    queues = zip(sockets, memories, strict=True)
    return Lent(
        interface=told.interface,
        ring=told.ring,
        chunk=told.chunk,
        program=program[0][1],
        taken=taken[0][1],
        queues=tuple((socket, memory) for (_, socket), (_, memory) in queues),
        scattered=told.scattered,
        left=told.left,
    )
