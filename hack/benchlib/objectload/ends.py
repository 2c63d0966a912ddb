"""The receiver and the sender."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchlib import identities
from stoq.api.client import ApiClient
from stoq.api.errors import ApiError
from stoq.api.objects import ReceivedObject, serve_objects
from stoq.engine import Engine, EngineSettings, Listener

OBJECT: Final = 4_000_000
"""Bytes of each object: of two that are under way the receiver holds less than its bound."""

AT_ONCE: Final = 2
"""Objects under way: while one waits for its last answer, the other goes on."""

SHARD_SIZE: Final = 65_536

TABLE: Final = json.dumps(
    {
        "version": 1,
        "own": {"name": "server", "namespace": "bench", "addresses": ["fd00::1"]},
        "inbound": "strict",
        "outbound": "meshOnly",
    }
)
"""An engine serves no peer before it has one. This one routes nothing."""

WARM_UP: Final = 1.0
"""Seconds of sending before anything is counted."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a sender measured."""

    bits_per_second: float
    object_ms: float
    """Median of the time from the call until the receiver has an object."""
    failed: int
    connections: int
    """Connections to the receiver at the end."""
    cpu_per_gb: float
    """CPU-seconds of the sender's process for each GB, all threads."""


async def receive(address: str, folder: Path, workers: int) -> None:
    """Takes objects until killed; leaves identities for both ends in `folder`."""
    identities.make(folder)
    settings = EngineSettings(workers=workers, stoq=Listener(listen=address), log_level="error")
    async with Engine(settings, identities.load(folder, "server", SHARD_SIZE)) as engine:
        engine.set_table(TABLE)
        receiver = engine.object_receiver()
        print("receiving", flush=True)
        await serve_objects(receiver, _forget)


async def send(
    address: str, folder: Path, workers: int, lanes: int, seconds: float
) -> dict[str, float]:
    """Sends objects one after the other over `lanes` connections."""
    settings = EngineSettings(workers=workers, log_level="error")
    async with Engine(settings, identities.load(folder, "client", 0)) as engine:
        sender = engine.object_sender(
            address, identities.SERVER, shard_size=SHARD_SIZE, lanes=lanes
        )
        client = ApiClient(engine.dialler(address, identities.SERVER), objects=sender)
        data = bytes(OBJECT)
        await repeated(lambda: client.send_object(data), WARM_UP)
        used, started = time.process_time(), time.perf_counter()
        took, failed = await repeated(lambda: client.send_object(data), seconds)
        elapsed = time.perf_counter() - started
        used = time.process_time() - used
        return asdict(figures(took, failed, elapsed, used, len(engine.connections())))


async def repeated(
    call: Callable[[], Awaitable[object]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[float], int]:
    """Calls, `AT_ONCE` at a time, for as long: how long each took, and how many failed."""
    took: list[float] = []
    failed = 0
    end = clock() + seconds

    async def go_on() -> None:
        nonlocal failed
        while (began := clock()) < end:
            try:
                await call()
            except ApiError:
                failed += 1
                # The next would fail as fast, and count as if it had been tried as long.
                await asyncio.sleep(0.1)
            else:
                took.append(clock() - began)

    await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))
    return took, failed


def figures(
    took: list[float], failed: int, elapsed: float, cpu: float, connections: int
) -> Figures:
    """The figures of objects that took so many seconds each, in `elapsed` seconds."""
    gigabytes = len(took) * OBJECT / 1e9
    return Figures(
        bits_per_second=8e9 * gigabytes / elapsed,
        object_ms=median(took) * 1e3 if took else 0.0,
        failed=failed,
        connections=connections,
        cpu_per_gb=cpu / gigabytes if took else 0.0,
    )


async def _forget(_received: ReceivedObject) -> None:
    """It has arrived and was verified: that is what is measured."""
