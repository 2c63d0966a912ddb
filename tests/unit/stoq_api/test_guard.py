"""What ends a call's task, and what does not."""

import asyncio

import pytest

from stoq.api.errors import TimedOut, Unavailable
from stoq.api.guard import PATIENCE, Guard


class Leaving:
    """A caller who leaves when he is told to."""

    def __init__(self, verdict=None):
        self.tell = None
        self.found = verdict

    def attend(self, tell):
        self.tell = tell

    def verdict(self):
        if isinstance(self.found, OSError):
            raise self.found
        return self.found

    def leave(self):
        self.found = Unavailable("gone")
        if self.tell is not None:
            self.tell()


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


@pytest.mark.parametrize("before", [0, 5 * PATIENCE], ids=["at once", "later"])
async def test_a_caller_who_leaves_ends_the_block(before):
    caller = Leaving()
    with pytest.raises(Unavailable, match="gone"), Guard(5, "late") as guard:
        guard.until(None, "late", caller)
        asyncio.get_running_loop().call_later(before, caller.leave)
        await asyncio.sleep(5)
    assert caller.tell is None, "nobody listens any more"


async def test_a_verdict_that_fails_ends_the_block_with_its_error():
    with pytest.raises(OSError, match="broken"), Guard(5, "late") as guard:
        guard.until(None, "late", Leaving(OSError("broken")))
        await asyncio.sleep(5)


async def test_regression_a_caller_who_leaves_with_the_block_cancels_nothing_after_it():
    caller = Leaving()
    with Guard(5, "late") as guard:
        guard.until(None, "late", caller)
        await asyncio.sleep(5 * PATIENCE)
        caller.leave()
    await asyncio.sleep(0.01)


async def test_a_block_that_waits_for_nothing_ends_as_it_does_though_its_caller_has_left():
    with Guard(5, "late") as guard:
        await asyncio.sleep(5 * PATIENCE)
        guard.until(None, "late", Leaving(Unavailable("gone")))
    await asyncio.sleep(0.01)


async def test_a_block_that_makes_its_caller_leave_ends_as_it_does():
    caller = Leaving()
    with pytest.raises(KeyError), Guard(5, "late") as guard:
        guard.until(None, "late", caller)
        await asyncio.sleep(5 * PATIENCE)
        caller.leave()
        raise KeyError
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
