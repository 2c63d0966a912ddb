"""Whether STOQ is faster past the kernel's stack than by its sockets. Pure."""

from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

MARGIN: Final = 1.1
"""How many times as fast a way must be: less is noise, and changing is not for nothing."""


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection has by one way."""

    bulk: float
    """Bytes a second."""
    trips: float
    """Requests a second, each once the one before is answered."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Both ways, on links that are alike."""

    sockets: Speed
    af_xdp: Speed


def middle(rounds: Sequence[Speed]) -> Speed:
    """The median of each figure over at least one round."""
    return Speed(bulk=median(one.bulk for one in rounds), trips=median(one.trips for one in rounds))


def faster(measured: Measured) -> bool:
    """Whether AF_XDP is faster by the margin in one figure, and not slower in the other. What is
    equal stays with the sockets.
    """
    past, by = measured.af_xdp, measured.sockets
    gains = past.bulk / by.bulk, past.trips / by.trips
    return max(gains) >= MARGIN and min(gains) >= 1


def told(measured: Measured) -> str:
    """The figures in words."""
    past, by = measured.af_xdp, measured.sockets
    return (
        f"measured over a veth: {past.bulk * 8e-9:.2f} Gbit/s and {past.trips:.0f} requests a "
        f"second past the stack, {by.bulk * 8e-9:.2f} and {by.trips:.0f} by sockets"
    )
