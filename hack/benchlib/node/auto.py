"""What an agent in mode `auto` chooses (`stoq_node.contest`), beside what is the faster of the two
for the pair of `lent`.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from benchlib.errors import BenchError
from benchlib.node.settings import Settings
from benchlib.tools import Tools
from stoq_node.measuring import NotMeasured, measured
from stoq_node.speeds import Measured, Speed, faster

WAYS: Final = ("sockets", "lent")
NAMES: Final = {True: "AF_XDP", False: "sockets"}


def measure(_settings: Settings, _tools: Tools) -> dict[str, float]:
    """What the agent measures when it starts, by "auto figure way". Raises BenchError."""
    try:
        found = measured()
    except NotMeasured as error:
        raise BenchError(f"auto: {error}") from error
    return {
        "auto bulk sockets": found.sockets.bulk * 8e-9,
        "auto bulk lent": found.af_xdp.bulk * 8e-9,
        "auto trips sockets": found.sockets.trips,
        "auto trips lent": found.af_xdp.trips,
    }


def verdict(rounds: Mapping[str, Sequence[float]]) -> str:
    """In words; empty where not all of it was measured. The faster is found by the agent's own
    rule, from the medians of the pair: bulk, and P50 as what a request takes. Pure.
    """
    needed = ("auto bulk", "auto trips", "xdp bulk", "xdp p50")
    if not all(rounds.get(f"{name} {way}") for name in needed for way in WAYS):
        return ""
    chosen = [
        faster(Measured(sockets=Speed(bulk=bulk, trips=trips), af_xdp=Speed(bulk=more, trips=past)))
        for bulk, more, trips, past in zip(
            *(rounds[f"auto {name} {way}"] for name in ("bulk", "trips") for way in WAYS),
            strict=True,
        )
    ]
    pair = [
        Speed(bulk=median(rounds[f"xdp bulk {way}"]), trips=1 / median(rounds[f"xdp p50 {way}"]))
        for way in WAYS
    ]
    best = faster(Measured(sockets=pair[0], af_xdp=pair[1]))
    said = " and ".join(
        f"{NAMES[one]} {chosen.count(one)} of {len(chosen)} times"
        for one in (True, False)
        if one in chosen
    )
    return f"auto chose {said}; the faster was {NAMES[best]}"
