"""Ends the task of a call when its time is over or its caller is gone.

Most calls are answered before anything could happen to them. So nothing is watched in a call's
first moment: one timer is all that such a call costs, and no second task.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final

from stoq.api.errors import TimedOut

PATIENCE: Final = 0.002
"""Seconds from which on a call is watched: a caller's reset reaches its handler so much later."""

Watch = Callable[[], Coroutine[Any, Any, Exception]]
"""Waits for something that ends the call, and returns what it then fails with."""


class Guard:
    """A block that is cancelled, and then raises the exception that it was cancelled for.

    Cancellation by somebody else stays what it is.
    """

    __slots__ = ("_at", "_attended", "_before", "_cause", "_late", "_loop", "_over", "_task",
                 "_timer", "_watch", "_watching")  # fmt: skip

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
        self._watch: Watch | None = None
        self._watching: asyncio.Task[Exception] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._attended = False
        self._over = False

    def until(self, at: float | None, late: str, watch: Watch) -> None:
        """From now on the block has until `at` (the loop's time; None: for ever), and it ends with
        what `watch` returns.
        """
        self._at, self._late, self._watch = at, late, watch
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
        # The watch may have ended in this very turn: what it says concerns nobody any more.
        self._over = True
        if self._watching is not None:
            self._watching.cancel()
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
        if self._watch is not None and self._watching is None:
            self._watching = self._loop.create_task(self._watch())
            self._watching.add_done_callback(self._seen)

    def _expire(self) -> None:
        self._end(TimedOut(self._late))

    def _seen(self, watching: asyncio.Task[Exception]) -> None:
        if watching.cancelled():
            return
        error = watching.exception()
        self._end(error if isinstance(error, Exception) else watching.result())

    def _end(self, cause: Exception) -> None:
        if self._cause is None and not self._over:
            self._cause = cause
            self._task.cancel()
