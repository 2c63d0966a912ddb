"""How a program is told to end."""

import asyncio
import logging
import os
import signal
from dataclasses import dataclass, field

import pytest

from stoq import program
from stoq.program import Log

LOG = logging.getLogger("test")


@dataclass(frozen=True)
class Settings:
    log: Log = field(default_factory=Log)


async def tell() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_program_that_is_told_ends_its_own_way() -> None:
    said: list[str] = []

    async def serve(stop: asyncio.Event) -> None:
        await tell()
        await stop.wait()
        said.append("goodbye")

    program.until_told(serve, Settings(), LOG)
    assert said == ["goodbye"]


def test_a_program_that_still_waits_for_its_start_is_cancelled() -> None:
    said: list[str] = []

    async def serve(_stop: asyncio.Event) -> None:
        try:
            await tell()
            await asyncio.Event().wait()
        finally:
            said.append("cleaned up")

    program.until_told(serve, Settings(), LOG, grace=0.01)
    assert said == ["cleaned up"]


def test_what_keeps_a_program_from_starting_is_raised() -> None:
    async def serve(_stop: asyncio.Event) -> None:
        raise OSError("no such port")

    with pytest.raises(OSError, match="no such port"):
        program.until_told(serve, Settings(), LOG)
