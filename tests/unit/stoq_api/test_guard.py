"""What ends a call's task, and what does not."""

import asyncio

import pytest

from stoq.api.errors import TimedOut, Unavailable
from stoq.api.guard import PATIENCE, Guard


class Leaving:
    """A watch that ends when it is told to."""

    def __init__(self):
        self.left = asyncio.get_running_loop().create_future()

    async def __call__(self):
        await self.left
        return Unavailable("gone")


async def test_a_block_that_takes_too_long_is_late():
    with pytest.raises(TimedOut, match="too late"), Guard(0.02, "too late"):
        await asyncio.sleep(5)


async def test_a_later_limit_takes_the_place_of_the_first():
    loop = asyncio.get_running_loop()
    with Guard(0.02, "first") as guard:
        guard.until(loop.time() + 5, "second", Leaving())
        await asyncio.sleep(0.05)
    with pytest.raises(TimedOut, match="second"), Guard(5, "first") as guard:
        await asyncio.sleep(2 * PATIENCE)
        guard.until(loop.time() + 0.01, "second", Leaving())
        await asyncio.sleep(5)


async def test_what_the_watch_returns_ends_the_block():
    watch = Leaving()
    with pytest.raises(Unavailable, match="gone"), Guard(5, "late") as guard:
        guard.until(None, "late", watch)
        watch.left.set_result(None)
        await asyncio.sleep(5)


async def test_a_watch_that_fails_ends_the_block_with_its_error():
    async def watch():
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"), Guard(5, "late") as guard:
        guard.until(None, "late", watch)
        await asyncio.sleep(5)


async def test_regression_a_watch_that_ends_with_the_block_cancels_nothing_after_it():
    watch = Leaving()
    with Guard(5, "late") as guard:
        guard.until(None, "late", watch)
        await asyncio.sleep(5 * PATIENCE)
        watch.left.set_result(None)
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


async def test_cancellation_by_somebody_else_stays_cancellation():
    async def guarded():
        with Guard(5, "late"):
            await asyncio.sleep(5)

    task = asyncio.create_task(guarded())
    await asyncio.sleep(2 * PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
