"""All rounds of the benchmark of the node."""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial

from benchlib import machine, tools
from benchlib.errors import BenchError
from benchlib.node import (
    auto,
    blasted,
    drops,
    flow,
    killed,
    lent,
    local,
    page,
    programs,
    settings,
    spliced,
)
from benchlib.node.settings import Settings
from benchlib.report import Json
from benchlib.tools import Tools

Part = Callable[[Settings, Tools], dict[str, float]]
"""One round of it: values by the name of a figure."""


def measure(chosen: Settings) -> tuple[Json, str]:
    """All rounds: one JSON object, and the page. Raises what its parts raise."""
    found = tools.find(smoke=chosen.smoke)
    about = {**machine.describe({}), "stoq": machine.revision(tools.REPOSITORY)}
    if about["cpus"] == 1:
        raise BenchError("one CPU: the generator and what drops need one each")
    rounds: dict[str, list[float]] = {}
    left_out: dict[str, str] = {}
    with programs.loaded() as kernel:
        by_name = parts(kernel)
        for number in range(chosen.rounds):
            # That everybody gets in is asked once: it takes longer than all the rest of a round.
            this = chosen if number == 0 else dataclasses.replace(chosen, sidecars=0)
            for name in chosen.only or settings.PARTS:
                if name in left_out:
                    continue
                label = f"node {number + 1}/{chosen.rounds} {name}"
                try:
                    figures = by_name[name](this, found)
                except drops.NoFrames as error:
                    left_out[name] = str(error)
                    print(f"{label}: left out: {error}", file=sys.stderr)
                    continue
                shown = ", ".join(f"{figure} {value:.4g}" for figure, value in figures.items())
                print(f"{label}: {shown}", file=sys.stderr)
                for figure, value in figures.items():
                    rounds.setdefault(figure, []).append(value)
    about["load_after"] = round(os.getloadavg()[0], 2)
    result: Json = {
        "machine": about,
        "settings": dataclasses.asdict(chosen),
        "rounds": {name: [round(one, 4) for one in rounds[name]] for name in rounds},
        "results": page.results(rounds),
        "choice": auto.verdict(rounds),
        "left_out": left_out,
        "failures": [],
    }
    return result, page.page(chosen, rounds, about, left_out)


def name_of(chosen: Settings) -> str:
    """What its files are called: a run of some parts does not take the place of one of all."""
    return f"node-{'+'.join(chosen.only)}" if chosen.only else "node"


def parts(kernel: programs.Programs) -> Mapping[str, Part]:
    """Those of settings.PARTS."""
    return {
        "drops": partial(drops.measure, programs=kernel),
        "flow": partial(flow.measure, programs=kernel),
        "blasted": partial(blasted.measure, programs=kernel),
        "killed": killed.measure,
        "spliced": partial(spliced.measure, programs=kernel),
        "lent": lent.measure,
        "auto": auto.measure,
        "local": local.measure,
    }
