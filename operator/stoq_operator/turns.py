"""Lets a few at a time do what takes much memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`many` at once; whoever takes longer than `longest` seconds goes on, and the next begins."""

    def __init__(self, many: int, longest: float) -> None:
        self._free = asyncio.Semaphore(many)
        self._longest = longest

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Waits for a turn, first come first served; it ends with the block."""
        await self._free.acquire()
        held = True

        def over() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        end = asyncio.get_running_loop().call_later(self._longest, over)
        try:
            yield
        finally:
            end.cancel()
            over()
