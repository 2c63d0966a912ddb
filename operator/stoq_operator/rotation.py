"""The life of the mesh's roots: made, trusted, signing, old, gone. Pure.

Every sidecar must trust a root before anything signed by it appears, and must trust the former one
until nothing signed by it is left. So a new root waits in the bundle as `next` for `OVERLAP`, then
signs, and the former one stays in the bundle as `old` for one SVID life more.
"""

from enum import StrEnum
from typing import Final

import msgspec

ROOT_LIFE: Final = 10 * 365 * 86400
"""Seconds that a root is valid."""

RENEW_BEFORE: Final = 365 * 86400
"""Seconds before its end at which a signing root gets a successor by itself."""

OVERLAP: Final = 24 * 3600
"""Seconds that a next root is trusted before it signs: how long a sidecar may be cut off from the
registry and still know it afterwards."""


class Phase(StrEnum):
    """What a root is for."""

    NEXT = "next"
    SIGNING = "signing"
    OLD = "old"


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """A root; key and certificate are in files called after `name`."""

    name: str
    phase: Phase
    since: int
    """Unix seconds at which the phase began."""
    expires: int
    """End of the certificate's life, Unix seconds."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now."""

    roots: tuple[Root, ...]
    """The roots, in their new phases."""
    make: Phase | None = None
    """Make a root and add it in this phase."""
    drop: tuple[str, ...] = ()
    """Names of roots whose files can go."""


def advance(
    roots: tuple[Root, ...],
    now: int,
    svid_ttl: int,
    *,
    wanted: bool = False,
    overlap: int = OVERLAP,
) -> Advice:
    """The next step at `now` (Unix seconds); `wanted` asks for a successor at once.

    One that waits already is what was asked for, also when its turn comes in this very step. Where
    the signing one has ended nobody gains from its waiting.
    """
    signing = next((root for root in roots if root.phase is Phase.SIGNING), None)
    if signing is None:
        return Advice(roots=roots, make=Phase.SIGNING)
    successor = next((root for root in roots if root.phase is Phase.NEXT), None)
    due = wanted or signing.expires - now < RENEW_BEFORE
    if successor is not None and (now - successor.since >= overlap or signing.expires <= now):
        roots = tuple(_promoted(root, now) for root in roots)
    dropped = tuple(
        root.name for root in roots if root.phase is Phase.OLD and now - root.since > svid_ttl
    )
    return Advice(
        roots=tuple(root for root in roots if root.name not in dropped),
        make=Phase.NEXT if due and successor is None else None,
        drop=dropped,
    )


def _promoted(root: Root, now: int) -> Root:
    match root.phase:
        case Phase.NEXT:
            return msgspec.structs.replace(root, phase=Phase.SIGNING, since=now)
        case Phase.SIGNING:
            return msgspec.structs.replace(root, phase=Phase.OLD, since=now)
        case Phase.OLD:
            return root
