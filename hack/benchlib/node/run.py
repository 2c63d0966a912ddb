"""All rounds of the benchmark of the node."""

import dataclasses
import os
import sys
from functools import partial

from benchlib import machine, tools
from benchlib.errors import BenchError
from benchlib.node import auto, drops, flow, killed, lent, local, page, programs, spliced
from benchlib.node.settings import Settings
from benchlib.report import Json


def measure(chosen: Settings) -> tuple[Json, str]:
    """All rounds: one JSON object, and the page. Raises what its parts raise."""
    found = tools.find(smoke=chosen.smoke)
    about = {**machine.describe({}), "stoq": machine.revision(tools.REPOSITORY)}
    if about["cpus"] == 1:
        raise BenchError("one CPU: the generator and what drops need one each")
    rounds: dict[str, list[float]] = {}
    with programs.loaded() as kernel:
        for number in range(chosen.rounds):
            # That everybody gets in is asked once: it takes longer than all the rest of a round.
            this = chosen if number == 0 else dataclasses.replace(chosen, sidecars=0)
            for part in (
                partial(drops.measure, programs=kernel),
                partial(flow.measure, programs=kernel),
                killed.measure,
                partial(spliced.measure, programs=kernel),
                lent.measure,
                auto.measure,
                local.measure,
            ):
                figures = part(this, found)
                shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
                print(f"node {number + 1}/{chosen.rounds}: {shown}", file=sys.stderr)
                for name, value in figures.items():
                    rounds.setdefault(name, []).append(value)
    about["load_after"] = round(os.getloadavg()[0], 2)
    result: Json = {
        "machine": about,
        "settings": dataclasses.asdict(chosen),
        "rounds": {name: [round(one, 4) for one in rounds[name]] for name in rounds},
        "results": page.results(rounds),
        "choice": auto.verdict(rounds),
        "failures": [],
    }
    return result, page.page(chosen, rounds, about)
