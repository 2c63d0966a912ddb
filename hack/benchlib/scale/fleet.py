"""The processes of simulated sidecars, as their parent sees them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from benchlib.errors import BenchError
from benchlib.scale.progress import say
from benchlib.scale.protocol import (
    Ask,
    Await,
    Command,
    Forget,
    Join,
    Member,
    Report,
    Seen,
    Setup,
    Standing,
)

PER_PROCESS: Final = 700
"""Simulated sidecars of one process: four file descriptors each."""

PATIENCE: Final = 900.0
"""Seconds in which all must have joined."""


class Process:
    """One of them."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._waiting: dict[int, asyncio.Future[tuple[float, ...]]] = {}
        self._standing: asyncio.Future[Standing] | None = None

    def tell(self, command: Command) -> None:
        """Sends one line."""
        assert self._child.stdin is not None
        self._child.stdin.write(msgspec.json.encode(command) + b"\n")

    async def seen(self, wanted: Await, seconds: float) -> tuple[float, ...]:
        """When its sidecars saw it; of those that have not within `seconds` there is no time."""
        future = self._waiting[wanted.id] = asyncio.get_running_loop().create_future()
        self.tell(wanted)
        await asyncio.wait([future], timeout=seconds)
        if not future.done():
            self.tell(Forget(id=wanted.id))
        found: tuple[float, ...] = await future
        return found

    async def standing(self) -> Standing:
        """How its sidecars are."""
        self._standing = asyncio.get_running_loop().create_future()
        self.tell(Ask())
        return await self._standing

    async def listen(self) -> None:
        """Reads its reports until it ends."""
        assert self._child.stdout is not None
        while line := await self._child.stdout.readline():
            report = msgspec.json.decode(line, type=Report)
            if isinstance(report, Seen):
                self._waiting.pop(report.id).set_result(report.times)
            elif self._standing is not None:
                self._standing.set_result(report)
        raise BenchError("a process of simulated sidecars ended")

    async def stop(self) -> None:
        """Lets it end."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()


class Fleet:
    """All simulated sidecars."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes
        self._number = 0

    async def joined(self, members: Sequence[Member], all_: int) -> None:
        """Has these join, and waits until `all_` follow the registry. Raises BenchError."""
        many = len(self._processes)
        for place, process in enumerate(self._processes):
            process.tell(Join(members=tuple(members[place::many])))
        found = await self.standing()
        try:
            async with asyncio.timeout(PATIENCE):
                while (found := await self.standing()).following < all_:
                    say(f"{found.joined} have joined, {found.following} follow the registry")
                    await asyncio.sleep(2)
        except TimeoutError:
            raise BenchError(
                f"{found.following} of {all_} follow the registry after {PATIENCE:g} s; "
                f"the last errors: {found.errors}"
            ) from None
        say(f"all {all_} follow the registry")

    async def seen(
        self, seconds: float, *, service: str = "", endpoint: str = "", not_epoch: str = ""
    ) -> "asyncio.Task[list[float]]":
        """Begins to wait; the result has the moments at which sidecars saw it."""
        self._number += 1
        wanted = Await(id=self._number, service=service, endpoint=endpoint, not_epoch=not_epoch)

        async def all_() -> list[float]:
            found = await asyncio.gather(*(p.seen(wanted, seconds) for p in self._processes))
            return sorted(moment for times in found for moment in times)

        task = asyncio.create_task(all_())
        await self.standing()  # they have read what to wait for, since lines come in order
        return task

    async def standing(self) -> Standing:
        """Of all together."""
        found = [await process.standing() for process in self._processes]
        return Standing(
            joined=sum(item.joined for item in found),
            following=sum(item.following for item in found),
            epoch=found[0].epoch,
            snapshots=sum(item.snapshots for item in found),
            deltas=sum(item.deltas for item in found),
            received=sum(item.received for item in found),
            largest=max(item.largest for item in found),
            errors=tuple(error for item in found for error in item.errors),
        )


@asynccontextmanager
async def started(setup: Setup, sidecars: int) -> AsyncIterator[Fleet]:
    """Processes for so many sidecars, which end with the block."""
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchlib.scale.sidecars",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
            start_new_session=True,
        )
        for _ in range(-(-sidecars // PER_PROCESS))
    ]
    processes = [Process(child) for child in children]
    listening = [asyncio.create_task(process.listen()) for process in processes]
    try:
        for process in processes:
            process.tell(setup)
        yield Fleet(processes)
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*(process.stop() for process in processes))
