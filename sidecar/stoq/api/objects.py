"""Objects: byte strings that travel whole, in shards (docs/wire-format.md, section 13).

Where a call would need one long message, an object goes over several connections at once, and goes
on from where it was when one of them is lost.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from stoq.api.errors import ApiError, BadRequest, NotFound, TimedOut, Unauthorised, Unavailable
from stoq.api.stream import DENIED, StreamError, StreamReset

log: Final = logging.getLogger(__name__)

BAD_SHARD: Final = 0x1B
"""Stream code `bad_shard`: a shard or manifest contradicts another, or its digest."""

TOO_LARGE: Final = 0x1C
"""Stream code `too_large`: the object is larger than the receiver takes."""

INCOMPLETE: Final = 0x1D
"""Stream code `incomplete`: the object was not whole in time."""

BAD_SIGNATURE: Final = 0x1E
"""Stream code `bad_signature`: a signature or key is not acceptable to the receiver."""

_MEANING: Final[dict[int, tuple[type[ApiError], str]]] = {
    DENIED: (Unauthorised, "the peer takes no objects, or no more of ours at once"),
    BAD_SHARD: (BadRequest, "the peer found other bytes than the digests say"),
    TOO_LARGE: (BadRequest, "it is larger than the peer takes; send it in parts"),
    BAD_SIGNATURE: (
        Unauthorised,
        "the peer takes only what a certain identity has signed, or does not trust our signature",
    ),
    INCOMPLETE: (TimedOut, "the peer had nothing new of it for too long"),
}


@dataclass(frozen=True, slots=True)
class ReceivedObject:
    """An object that a peer has sent; its digests were verified."""

    transfer: bytes
    """16 bytes that name its transfer."""
    sender: str
    """The sender's SPIFFE id, as its handshake proved it."""
    data: bytes
    copy_of: str | None = None
    """Of a copy for a shadow: whom the original is for, as the sender says; else None."""
    signer: str | None = None
    """Whose FALCON signature its manifest has, which was verified; None: nobody's."""


class ObjectSender(Protocol):
    """Sends objects to one endpoint."""

    async def send(self, data: bytes, *, sign: bool = False) -> None:
        """Returns when the peer has all of `data`; `sign`: with our signature. Raises StreamError,
        and ValueError where it cannot be sent to anybody. Cancelling it gives up on the object.
        """


class ObjectReceiver(Protocol):
    """Yields the objects that peers send to this endpoint."""

    async def receive(self) -> ReceivedObject:
        """Waits for the next object; raises StreamError when the endpoint has shut down."""


class ObjectAsker(Protocol):
    """Asks one endpoint for objects that it holds."""

    async def ask(self, transfer: bytes) -> ReceivedObject:
        """The object of this transfer. Raises StreamError. Cancelling it gives up on the object."""


async def ask_object(
    holders: Sequence[ObjectAsker], transfer: bytes, timeout: float
) -> ReceivedObject:
    """The object of this transfer, from the first of `holders` that has it and lets us have it.

    Raises an `ApiError`: `NotFound` when none does, `TimedOut` after `timeout` seconds,
    `Unavailable` when one of them could not be asked.
    """
    unavailable: Exception | None = None
    scope = asyncio.timeout(timeout)
    try:
        async with scope:
            for holder in holders:
                try:
                    return await holder.ask(transfer)
                except StreamError as failed:
                    if not (isinstance(failed, StreamReset) and failed.code == DENIED):
                        unavailable = failed
    except TimeoutError:
        if not scope.expired():
            raise
        raise TimedOut(f"object {transfer.hex()}: not here within {timeout:g} s") from None
    if unavailable is not None:
        raise Unavailable(f"object {transfer.hex()}: {unavailable}") from unavailable
    raise NotFound(f"object {transfer.hex()}: none of {len(holders)} peers holds it for us")


async def send_object(
    sender: ObjectSender, data: bytes, timeout: float, *, sign: bool = False
) -> None:
    """Returns when the peer has all of `data`; `sign`: with our signature. Raises an `ApiError`:
    `TimedOut` after `timeout` seconds.
    """
    scope = asyncio.timeout(timeout)
    try:
        async with scope:
            await sender.send(data, sign=sign)
    except TimeoutError:
        if not scope.expired():
            raise
        raise TimedOut(f"an object of {len(data)} bytes: not sent within {timeout:g} s") from None
    except StreamReset as refused:
        kind, why = _MEANING.get(refused.code, (Unavailable, str(refused)))
        raise kind(f"an object of {len(data)} bytes: {why}") from refused
    except StreamError as lost:
        raise Unavailable(f"an object of {len(data)} bytes: {lost}") from lost


async def serve_objects(
    receiver: ObjectReceiver, handler: Callable[[ReceivedObject], Awaitable[None]]
) -> None:
    """Hands each object to `handler`, one after the other, until the endpoint ends: a slow one
    holds the senders back. What it raises is logged, and the next object follows.
    """
    while True:
        try:
            received = await receiver.receive()
        except StreamError as ended:
            log.info("no more objects to take: %s", ended)
            return
        try:
            await handler(received)
        except Exception:
            log.exception(
                "the handler failed at %d bytes from %s", len(received.data), received.sender
            )
