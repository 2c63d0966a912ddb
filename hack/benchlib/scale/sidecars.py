"""A process of simulated sidecars: `python -m benchlib.scale.sidecars`, spoken to by its parent.

Everything on the wire is real: each has an engine, a connection and a certificate of its own, and
the sidecar's own back-off. Two things are shared to fit into one machine: the key pair (a FALCON
key takes a tenth of a second to make), and the state, which is the same for all of one version.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

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
from benchlib.scale.shared import PEEK, Shared
from stoq import signing
from stoq.api.client import ApiClient
from stoq.api.errors import ApiError
from stoq.api.stream import ByteStream, Opened, StreamError
from stoq.constants import operator_spiffe_id
from stoq.engine import Engine, EngineSettings, HybridKey, TlsContext
from stoq.engine.hub import EngineDialler
from stoq.pem import certificates
from stoq.registry import Gap, RegistryState
from stoq_sidecar.backoff import Backoff

JOINING: Final = 8
"""Newcomers of a process at once."""

PATIENCE: Final = 60.0
"""Seconds that a signing may take: it waits in line with thousands of others."""

RETRY: Final = Backoff(0.2, 15.0)
"""Of the sidecar's discovery, by default (stoq_sidecar.settings)."""

ERRORS: Final = 5

LEAST: Final = 19
"""The lowest priority, as nice(1) has it."""


class Counting:
    """A dialler that counts what its streams receive."""

    def __init__(self, dialler: EngineDialler, counts: "Counts") -> None:
        self._dialler = dialler
        self._counts = counts

    async def open(self, *, wait: bool = True) -> ByteStream:
        """See `Dialler`."""
        stream: Any = Counted(await self._dialler.open(wait=wait), self._counts)
        found: ByteStream = stream
        return found


class Counted:
    """A stream whose received bytes are counted."""

    def __init__(self, stream: ByteStream, counts: "Counts") -> None:
        self._stream = stream
        self._counts = counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def recv(self, limit: int = 65536) -> bytes:
        """See `ByteStream`."""
        data = await self._stream.recv(limit)
        self._counts.received += len(data)
        return data


class Counts:
    """Of one process."""

    def __init__(self) -> None:
        self.joined = 0
        self.following = 0
        self.snapshots = 0
        self.deltas = 0
        self.received = 0
        self.largest = 0
        self.errors: list[str] = []

    def failed(self, error: Exception) -> None:
        """Keeps the last few."""
        self.errors = [*self.errors, str(error)][-ERRORS:]


class Sidecar:
    """One of them."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.state: RegistryState | None = None
        self.heard = False


class Fleet:
    """All of a process."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._roots = list(certificates(setup.bundle))
        self._key = HybridKey.generate()
        self._operator = operator_spiffe_id(setup.trust_domain)
        self._newcomers = asyncio.Semaphore(JOINING)
        self._shared = Shared()
        self._sidecars: list[Sidecar] = []
        self._awaited: dict[int, tuple[Await, dict[str, float]]] = {}
        self.counts = Counts()

    async def live(self, member: Member, door: Engine) -> None:
        """Joins and follows the registry until cancelled; `door` is for callers without name."""
        sidecar = Sidecar(member.node)
        self._sidecars.append(sidecar)
        tls = TlsContext()
        tls.set_trust(self._setup.trust_domain, self._roots)
        async with self._newcomers:
            tls.set_identity(self._key, await self._signed(member, door))
        self.counts.joined += 1
        settings = EngineSettings(workers=1, log_level="error")
        async with Engine(settings, tls) as engine:
            failures = 0
            while True:
                sidecar.heard = False
                began = time.monotonic()
                try:
                    await self._follow(sidecar, engine)
                except Gap:
                    sidecar.state = None
                except (ApiError, StreamError) as error:
                    self.counts.failed(error)
                failures = 1 if sidecar.heard else failures + 1
                crowd = len(sidecar.state.workloads) if sidecar.state else 0
                took = time.monotonic() - began
                await asyncio.sleep(RETRY.delay(failures, random.random(), crowd, took))

    async def _signed(self, member: Member, door: Engine) -> bytes:
        failures = 0
        while True:
            try:
                stream = await door.dialler(self._setup.registry, self._operator).open()
                request = signing.SignRequest(
                    csr=self._key.csr(),
                    token=member.token,
                    binding=signing.binding(member.token, stream.exporter(signing.BINDING_LABEL)),
                )
                client = ApiClient(Opened(stream))
                return (await client.call(signing.SIGN, request, timeout=PATIENCE)).certificate
            except (ApiError, StreamError) as error:
                failures += 1
                self.counts.failed(error)
                await asyncio.sleep(RETRY.delay(failures, random.random()))

    async def _follow(self, sidecar: Sidecar, engine: Engine) -> None:
        counts = self.counts
        dialler = Counting(engine.dialler(self._setup.registry, self._operator), counts)
        request = self._shared.request(sidecar.node, sidecar.state)
        counted = False
        try:
            async with ApiClient(dialler).stream(PEEK, request) as messages:
                async for message in messages:
                    if not counted:
                        counted = True
                        counts.following += 1
                    counts.largest = max(counts.largest, message.size)
                    counts.snapshots += message.type == "snapshot"
                    counts.deltas += message.type != "snapshot"
                    sidecar.state = self._shared.apply(sidecar.state, message)
                    sidecar.heard = True
                    self._look(sidecar)
        finally:
            counts.following -= counted

    def wait_for(self, wanted: Await) -> None:
        """Begins to note when each sidecar sees it."""
        self._awaited[wanted.id] = (wanted, {})
        for sidecar in self._sidecars:
            self._look(sidecar)

    def forget(self, number: int) -> None:
        """Reports what has been seen."""
        if number in self._awaited:
            _, seen = self._awaited.pop(number)
            say(Seen(id=number, times=tuple(seen.values())))

    def _look(self, sidecar: Sidecar) -> None:
        for number, (wanted, seen) in tuple(self._awaited.items()):
            if sidecar.node not in seen and sidecar.state and _holds(wanted, sidecar.state):
                seen[sidecar.node] = time.monotonic()
                if len(seen) == len(self._sidecars):
                    self.forget(number)

    def standing(self) -> Standing:
        """How they are."""
        counts = self.counts
        first = next((item.state for item in self._sidecars if item.state), None)
        return Standing(
            joined=counts.joined,
            following=counts.following,
            epoch=first.epoch if first else "",
            snapshots=counts.snapshots,
            deltas=counts.deltas,
            received=counts.received,
            largest=counts.largest,
            errors=tuple(counts.errors),
        )


def _holds(wanted: Await, state: RegistryState) -> bool:
    if wanted.not_epoch:
        return state.epoch != wanted.not_epoch
    found = state.services.get(wanted.service)
    if found is None or not wanted.endpoint:
        return found is not None
    return any(endpoint.address == wanted.endpoint for endpoint in found.endpoints)


def say(report: Report) -> None:
    """One line to the parent."""
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


async def _commands() -> AsyncIterator[Command]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield msgspec.json.decode(line, type=Command)


async def _run() -> None:
    commands = _commands()
    setup = await anext(commands)
    assert isinstance(setup, Setup)
    fleet = Fleet(setup)
    tls = TlsContext()
    tls.set_trust(setup.trust_domain, list(certificates(setup.bundle)))
    settings = EngineSettings(workers=1, log_level="error")
    async with Engine(settings, tls) as door, asyncio.TaskGroup() as group:
        tasks = []
        async for command in commands:
            match command:
                case Join():
                    tasks += [group.create_task(fleet.live(m, door)) for m in command.members]
                case Await():
                    fleet.wait_for(command)
                case Forget():
                    fleet.forget(command.id)
                case Ask():
                    say(fleet.standing())
        for task in tasks:
            task.cancel()


def _step_back() -> None:
    """Leaves the CPUs to what is measured: in a cluster sidecars run on nodes of their own. A
    session's share is its own where the kernel has one (sched(7), autogroup), the niceness of a
    process its share of that; so both.
    """
    os.nice(LEAST)
    with suppress(FileNotFoundError):
        Path("/proc/self/autogroup").write_text(str(LEAST))


if __name__ == "__main__":
    _step_back()
    with suppress(KeyboardInterrupt):
        asyncio.run(_run())
