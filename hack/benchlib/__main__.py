"""hack/bench: see `hack/bench --help` and docs/benchmarks/README.md."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchlib import (
    candidates,
    certificates,
    machine,
    network,
    plot,
    report,
    scenarios,
    settings,
    tables,
    tools,
)
from benchlib.adapt import run as adapt
from benchlib.adapt import settings as adapt_settings
from benchlib.adapt import steadiness, steady
from benchlib.candidates.base import Bench, Candidate
from benchlib.certificates import Certificates
from benchlib.errors import BenchError
from benchlib.node import run as node
from benchlib.node import settings as node_settings
from benchlib.output import Output
from lab.command import CommandError
from lab.process import ProcessError

# What ends a measurement with a message: ours, and those of hack/lab.
ERRORS = (BenchError, CommandError, ProcessError)

TITLES = {candidate.name: candidate.title for candidate in candidates.ALL}


def main(arguments: Sequence[str]) -> int:
    """Runs what the command line asks for; 0 when every candidate could be measured."""
    try:
        benchmarks, output = settings.parse(arguments)
        found = tools.find(smoke=benchmarks[0].smoke)
        about = machine.describe(found.versions())
        objects = []
        for chosen in benchmarks:
            rounds = _measure(chosen, found)
            objects.append(_publish(rounds, about, output))
        if benchmarks[0].smoke:
            adapting, page = adapt.run(adapt_settings.SMOKE, found, about, output.folder)
            objects.append(adapting)
            if not output.json:
                print(page)
            objects += [_steady(found, about, output), _node(output)]
    except ERRORS as error:
        print(f"hack/bench: {error}", file=sys.stderr)
        return 2
    if output.json:
        smoke = {"smoke": True, "scenarios": objects}
        print(json.dumps(smoke if len(objects) > 1 else objects[0], indent=2))
    return 1 if any(result["failures"] for result in objects) else 0


def _steady(found: tools.Tools, about: dict[str, object], output: Output) -> report.Json:
    """What adaptation costs, in miniature."""
    result, page = steady.run(steadiness.SMOKE, found, about)
    if not output.json:
        print(page)
    return result


def _node(output: Output) -> report.Json:
    """The kernel programs in miniature, which need neither peers nor a cluster."""
    result, page = node.measure(node_settings.SMOKE)
    if not output.json:
        print(page)
    return result


def _measure(chosen: settings.Settings, found: tools.Tools) -> report.Rounds:
    """Every candidate once in each round: A B C A B C, so that all share the machine's mood."""
    scenario = scenarios.ALL[chosen.scenario]
    rounds = report.Rounds(chosen, scenario.metrics)
    measured = [c for c in candidates.named(chosen.candidates) if scenario.name in c.scenarios]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        made = certificates.make(Path(folder))
        for number in range(chosen.rounds):
            for candidate in measured:
                label = f"{scenario.name} {number + 1}/{chosen.rounds} {candidate.name}"
                print(f"{label}: {_measure_one(rounds, candidate, found, made)}", file=sys.stderr)
    return rounds


def _measure_one(
    rounds: report.Rounds, candidate: Candidate, found: tools.Tools, made: Certificates
) -> str:
    """Measures once, in namespaces of its own, and says how it went."""
    chosen = rounds.settings
    try:
        with network.pair(chosen.mtu, pin=chosen.pin, others=candidate.others) as pods:
            bench = Bench(chosen, pods, found, made)
            sample = scenarios.ALL[chosen.scenario].measure(bench, candidate)
    except ERRORS as error:
        rounds.failures.append((candidate.name, str(error)))
        return str(error)
    rounds.add(candidate.name, sample)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in sample.values.items())
    return f"{shown}; {sample.busy_cores:.2f} cores busy"


def _publish(rounds: report.Rounds, about: dict[str, object], output: Output) -> report.Json:
    result = report.to_json(rounds, about)
    about = {**about, **_mapping(result["machine"])}
    page = tables.markdown(rounds, about, TITLES)
    if not output.json:
        print(page)
    if output.folder is not None and rounds.samples:
        output.folder.mkdir(parents=True, exist_ok=True)
        stem = output.folder / tables.name(rounds.settings)
        plot.draw(rounds, TITLES, tables.name(rounds.settings), stem.with_suffix(".png"))
        stem.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
        image = f"\n![{stem.name}]({stem.name}.png)\n"
        stem.with_suffix(".md").write_text(page + image)
    return result


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
