"""Ends the task of a call when its time is over or its caller is gone.

Most calls are answered before anything could happen to them. So nothing is watched in a call's
first moment: one timer is all that such a call costs. One that lasts for days, beside thousands of
others, has no second task either.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol

from stoq.api.errors import TimedOut

PATIENCE: Final = 0.002
"""Seconds from which on a call is watched: a caller's reset reaches its handler so much later."""


class Caller(Protocol):
    """Who waits for what the block does."""

    def attend(self, tell: Callable[[], None] | None) -> None:
        """Has `tell` called whenever `verdict` may have changed; `None`: no more."""

    def verdict(self) -> Exception | None:
        """What the block ends with for the caller's sake; `None`: it goes on."""


class Guard:
    """A block that is cancelled, and then raises the exception that it was cancelled for.

    Cancellation by somebody else stays what it is.
    """

    __slots__ = ("_at", "_attended", "_before", "_caller", "_cause", "_late", "_loop", "_over",
                 "_task", "_timer")  # fmt: skip

    def __init__(self, seconds: float, late: str) -> None:
        """The block has so many seconds; after them `TimedOut` with this text is raised."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self._at: float | None = self._loop.time() + seconds
        self._late = late
        self._cause: Exception | None = None
        self._caller: Caller | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._attended = False
        self._over = False

    def until(self, at: float | None, late: str, caller: Caller) -> None:
        """From now on the block has until `at` (the loop's time; None: for ever), and it ends with
        the caller's verdict.
        """
        self._at, self._late, self._caller = at, late, caller
        if self._attended:
            self._attend()

    def __enter__(self) -> "Guard":
        self._timer = self._loop.call_later(PATIENCE, self._attend)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A look may be due in this very turn: what it shows concerns nobody any more.
        self._over = True
        if self._caller is not None and self._attended:
            self._caller.attend(None)
        cause = self._cause
        if cause is None:
            return
        if self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise cause from None

    def _attend(self) -> None:
        """The call takes longer than most: sees to its limit, and watches its caller."""
        self._attended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._at is not None:
            self._timer = self._loop.call_at(self._at, self._expire)
        if self._caller is not None:
            self._caller.attend(self._told)
            self._told()

    def _told(self) -> None:
        # Perhaps by the block itself, whose task cannot be cancelled while it runs.
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        if self._caller is None or self._over:
            return
        try:
            verdict = self._caller.verdict()
        except Exception as error:
            verdict = error
        if verdict is not None:
            self._end(verdict)

    def _expire(self) -> None:
        self._end(TimedOut(self._late))

    def _end(self, cause: Exception) -> None:
        if self._cause is None and not self._over:
            self._cause = cause
            self._task.cancel()
