"""How a program begins, how its parts run together, and how it is told to end."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from stoq import logs
from stoq.settings.kinds import choice
from stoq.settings.options import dump, option

GRACE: Final = 10.0
"""Seconds that a program has to end by itself: less than the 30 that a kubelet gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is written to standard error."""

    level: str = option("info", choice(tuple(logs.LEVELS)), "debug shows every call")
    format: str = option("text", choice(("text", "json")), "json for log collectors")


class Settings(Protocol):
    """Settings of any of the programs."""

    @property
    def log(self) -> Log:
        """What is written to standard error."""


def until_told(
    serve: Callable[[asyncio.Event], Coroutine[None, None, None]],
    settings: Settings,
    log: logging.Logger,
    grace: float = GRACE,
) -> None:
    """Writes the settings to `log`, then runs `serve`, whose event is set by SIGTERM and SIGINT.

    What has not ended `grace` seconds later is cancelled: it may still be waiting for an API
    server that it never reached.
    """
    logs.configure(settings.log.level, settings.log.format)
    groups: dict[str, dict[str, Any]] = dump(settings)
    for group, values in groups.items():
        for name, value in values.items():
            log.info("setting %s.%s = %s", group, name, value)
    asyncio.run(_served(serve, log, grace))


async def _served(
    serve: Callable[[asyncio.Event], Coroutine[None, None, None]],
    log: logging.Logger,
    grace: float,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = asyncio.create_task(serve(stop))
    told = asyncio.create_task(stop.wait())
    await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    ended, _ = await asyncio.wait((work,), timeout=grace)
    if ended:
        work.result()
        return
    log.warning("not ended %g s after it was told to: cancelled", grace)
    work.cancel()
    await asyncio.wait((work,))


@asynccontextmanager
async def together(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs `work` beside the block and ends it with the block.

    What fails first ends all of it, and is raised as it is.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(item) for item in work]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failed:
        raise _innermost(failed) from None


def _innermost(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
