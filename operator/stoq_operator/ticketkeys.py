"""Keys of session tickets that replicas share: which there are, and the data of a Secret. Pure.

A key is named by the second from which it seals. It is there before that, so that every replica has
it when the first one uses it, and stays until no ticket of it can be taken any more.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

ROTATE: Final = 12 * 3600
"""Seconds after which another key takes over."""

AHEAD: Final = 120
"""Seconds that a key is there before it is used: a watch brings it at once, or not at all."""

LIFE: Final = 24 * 3600
"""Seconds that a ticket can be taken (the engine's, and RFC 8446's 7 days are more)."""

SIZE: Final = 32
"""Bytes of a key."""


class TicketKey(NamedTuple):
    """One of them; its text is its name alone."""

    since: int
    """Unix time."""
    secret: bytes

    def __repr__(self) -> str:
        return f"TicketKey({self.since})"


def advanced(
    keys: Iterable[TicketKey], now: int, draw: Callable[[int], bytes]
) -> tuple[TicketKey, ...]:
    """The keys that there should be at `now`: the same, while nothing is due. `draw` gives as many
    random bytes. One that would begin after its successor is the mistake of a clock, and goes: it
    would keep the others from being replaced.
    """
    kept = sorted(key for key in keys if key.since <= now + ROTATE)
    if not kept:
        kept = [TicketKey(now, draw(SIZE))]
    elif now >= kept[-1].since + ROTATE - AHEAD:
        kept.append(TicketKey(now + AHEAD, draw(SIZE)))
    # Replaced by the one behind it, its last ticket was given when that began.
    ended = [after.since + LIFE < now for after in kept[1:]]
    return tuple(key for key, over in zip(kept, [*ended, False], strict=True) if not over)


def pack(keys: Iterable[TicketKey]) -> dict[str, str]:
    """As the data of a Secret."""
    return {str(key.since): base64.b64encode(key.secret).decode() for key in keys}


def unpack(data: Mapping[str, str]) -> tuple[TicketKey, ...]:
    """What is a key in the data of a Secret. What is not, a mistake of somebody's, gives no key:
    tickets only spare work.
    """
    found = []
    for name, value in data.items():
        try:
            secret = base64.b64decode(value, validate=True)
        except binascii.Error:
            continue
        if name.isascii() and name.isdigit() and len(name) <= 15 and len(secret) == SIZE:
            found.append(TicketKey(int(name), secret))
    return tuple(sorted(found))
