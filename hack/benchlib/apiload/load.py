"""Calls made as fast as they are answered, and calls made on schedule."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from benchlib.scale.quantiles import percentile

PAYLOAD = bytes(range(100))
"""What is sent there and back: a short message, so that it is the call that is measured."""

WARM_UP = 1.0
"""Seconds of calls before any are counted."""

PATIENCE = 10.0
"""Seconds after which calls that are still waited for have failed."""

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one client measured."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    failed: int
    client_cpu_us: float
    """CPU of the client's process for each call, all threads; of the closed loop."""


async def measure(call: Call, calls: int, rate: float, seconds: float) -> dict[str, float]:
    """First `calls` at once for as long as `seconds`, then `rate` each second for as long."""
    await _closed(call, calls, WARM_UP)
    used = time.process_time()
    answered, failed, elapsed = await _closed(call, calls, seconds)
    used = time.process_time() - used
    latencies, late = await _open(call, rate, seconds)
    figures = Figures(
        requests_per_second=answered / elapsed,
        p50_ms=percentile(latencies, 0.5) * 1e3,
        p99_ms=percentile(latencies, 0.99) * 1e3,
        p999_ms=percentile(latencies, 0.999) * 1e3,
        failed=failed + late,
        client_cpu_us=used / max(1, answered) * 1e6,
    )
    return asdict(figures)


async def _closed(call: Call, calls: int, seconds: float) -> tuple[int, int, float]:
    """Answered and failed calls, and the time they took."""
    answered = failed = 0
    started = time.perf_counter()
    end = started + seconds

    async def go_on() -> None:
        nonlocal answered, failed
        while time.perf_counter() < end:
            try:
                await call()
                answered += 1
            except Exception:
                failed += 1

    await asyncio.gather(*(go_on() for _ in range(calls)))
    return answered, failed, time.perf_counter() - started


async def _open(call: Call, rate: float, seconds: float) -> tuple[list[float], int]:
    """Latencies in seconds, each from when its call was due, and the calls that failed."""
    latencies: list[float] = []
    running: set[asyncio.Task[None]] = set()
    total = round(rate * seconds)
    started = time.perf_counter()

    async def one(due: float) -> None:
        await call()
        latencies.append(time.perf_counter() - due)

    for number in range(total):
        due = started + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(_forget(running))
    if running:
        _, left = await asyncio.wait(tuple(running), timeout=PATIENCE)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    return latencies, total - len(latencies)


def _forget(running: set[asyncio.Task[None]]) -> Callable[[asyncio.Task[None]], None]:
    def forget(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled():
            # Counted by its missing latency.
            task.exception()

    return forget
