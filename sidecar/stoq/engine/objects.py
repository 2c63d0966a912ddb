"""The objects of an engine on asyncio: `stoq.api.objects` over the engine."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stoq import _engine
from stoq.api.objects import ReceivedObject
from stoq.api.stream import ConnectionLost, StreamError, StreamReset

SHARD_SIZE: Final = 65_536
"""Bytes of each shard unless the caller says otherwise."""


WHOLE: Final = 10_000
"""The share that is every object."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Who gets copies of objects (`docs/wire-format.md`, section 15). Nobody waits for them."""

    remote: str
    """Address and port for STOQ between workloads."""
    expect: str
    """The SPIFFE id that it must prove."""
    share: int = WHOLE
    """How many of ten thousand objects are copied, at least 1."""


class Objects:
    """What of an engine's events concerns objects, and who waits for it."""

    def __init__(self, native: _engine.Objects) -> None:
        self._native = native
        self._sending: dict[int, asyncio.Future[None]] = {}
        self._asking: dict[int, asyncio.Future[None]] = {}
        self._given_up: deque[int] = deque(maxlen=256)
        """Asked for, and not wanted any more: the object may be on its way to us."""
        self._received: asyncio.Queue[int | None] = asyncio.Queue()
        self._ended = False

    async def send(
        self,
        remote: str,
        data: bytes,
        expect: str | None,
        shard_size: int,
        lanes: int,
        shadows: Sequence[Shadow],
        *,
        sign: bool,
    ) -> None:
        """Returns when the peer has all of `data`; `sign`: with our signature. Cancelling it gives
        up on the object.

        Raises StreamError, and ValueError for arguments.
        """
        if self._ended:
            raise ConnectionLost("the engine has shut down")
        copies = [(shadow.remote, shadow.expect, shadow.share) for shadow in shadows]
        token = self._native.send(remote, data, expect, shard_size, lanes, copies, sign)
        waiting = self._sending[token] = asyncio.get_running_loop().create_future()
        try:
            await waiting
        finally:
            del self._sending[token]
            self._native.cancel(token)

    async def ask(
        self, transfer: bytes, remote: str, expect: str | None, signer: str | None
    ) -> ReceivedObject:
        """The object that `remote` holds, which `signer` must have signed, if it is said. Raises
        StreamError, and ValueError for arguments.
        """
        if self._ended:
            raise ConnectionLost("the engine has shut down")
        token = self._native.ask(transfer, remote, expect, signer)
        waiting = self._asking[token] = asyncio.get_running_loop().create_future()
        try:
            await waiting
        except asyncio.CancelledError:
            self._native.cancel(token)
            # It may have come in this very moment.
            if self._native.fetch(token) is None:
                self._given_up.append(token)
            raise
        finally:
            del self._asking[token]
        found = self._native.fetch(token)
        assert found is not None, "it was announced to us alone"
        return ReceivedObject(*found)

    def hold(self, most: int, askers: Sequence[str]) -> None:
        """Keeps the latest objects that come, up to `most` bytes, for these who ask."""
        self._native.hold(most, list(askers))

    async def receive(self) -> ReceivedObject:
        """The next object that has come. Raises StreamError when the engine has shut down."""
        while (token := await self._received.get()) is not None:
            if (found := self._native.fetch(token)) is not None:
                return ReceivedObject(*found)
        self._received.put_nowait(None)
        raise ConnectionLost("the engine has shut down")

    def accept(self, mirrors_from: Sequence[str] | None, signer: str | None) -> None:
        """Takes objects from peers from now on, and copies from these; what `signer` signed, if it
        is said.
        """
        names = None if mirrors_from is None else list(mirrors_from)
        self._native.accept(accepting=True, mirrors_from=names, signer=signer)

    def told(self, kind: str, token: int, reason: str | None, code: int | None) -> None:
        """The engine has said something about an object."""
        waiting = self._sending.get(token) or self._asking.get(token)
        if kind == "object" and waiting is None:
            if token in self._given_up:
                self._native.fetch(token)
            else:
                self._received.put_nowait(token)
            return
        if waiting is None or waiting.done():
            return
        if kind in ("sent", "object"):
            waiting.set_result(None)
        elif kind == "failed":
            waiting.set_exception(_failure(reason, code))

    def end(self) -> None:
        """The engine is about to end: whoever waits fails."""
        self._ended = True
        self._received.put_nowait(None)
        for token in (*self._sending, *self._asking):
            self.told("failed", token, "the engine has shut down", None)


def _failure(reason: str | None, code: int | None) -> StreamError:
    if code is not None:
        return StreamReset(code)
    return ConnectionLost(reason or "the connection is gone")


class EngineObjectSender:
    """Sends objects to one endpoint; an `ObjectSender`."""

    def __init__(
        self,
        objects: Objects,
        remote: str,
        expect: str | None,
        shard_size: int,
        lanes: int,
        shadows: Sequence[Shadow],
    ) -> None:
        self._objects = objects
        self._remote = remote
        self._expect = expect
        self._shard_size = shard_size
        self._lanes = lanes
        self._shadows = tuple(shadows)

    async def send(self, data: bytes, *, sign: bool = False) -> None:
        """Returns when the peer has all of `data`; `sign`: with our signature. Raises StreamError
        with the reason, and ValueError for one that makes more than 4096 shards, or without an
        identity to sign with.
        """
        await self._objects.send(
            self._remote,
            data,
            self._expect,
            self._shard_size,
            self._lanes,
            self._shadows,
            sign=sign,
        )


class EngineObjectReceiver:
    """Yields the objects that peers send; an `ObjectReceiver`."""

    def __init__(
        self, objects: Objects, mirrors_from: Sequence[str] | None, signer: str | None
    ) -> None:
        self._objects = objects
        objects.accept(mirrors_from, signer)

    async def receive(self) -> ReceivedObject:
        """Waits for the next object. Raises StreamError when the engine has shut down."""
        return await self._objects.receive()


class EngineObjectAsker:
    """Asks one endpoint for objects that it holds; an `ObjectAsker`."""

    def __init__(
        self, objects: Objects, remote: str, expect: str | None, signer: str | None
    ) -> None:
        self._objects = objects
        self._remote = remote
        self._expect = expect
        self._signer = signer

    async def ask(self, transfer: bytes) -> ReceivedObject:
        """The object of this transfer. Raises StreamError with the reason."""
        return await self._objects.ask(transfer, self._remote, self._expect, self._signer)
