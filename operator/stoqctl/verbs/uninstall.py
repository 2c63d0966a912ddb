"""`stoqctl uninstall`: what to do first, and whether it has been done."""

from typing import Annotated, Final

import typer

from stoqctl.connect import cluster
from stoqctl.errors import FAILED
from stoqctl.finding import document
from stoqctl.gather import Gatherer
from stoqctl.judge import removal
from stoqctl.options import Context, Json, Kubeconfig
from stoqctl.output import console, print_json, table

EXAMPLES: Final = "Examples:\n\nstoqctl uninstall --check\n\nstoqctl uninstall --check --json"


def run(
    check: Annotated[
        bool, typer.Option("--check", help="End with status 1 while something would break.")
    ] = False,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Say what would break if the mesh were removed now, and how to remove it. Changes nothing."""
    there = cluster(kubeconfig, context)
    gatherer = Gatherer(there)
    facts = gatherer.facts()
    pods = list(there.list("/api/v1/pods"))
    found = removal.findings(facts, pods, gatherer.records() if facts.crds else [])
    good = all(item.ok for item in found)
    if as_json:
        print_json({**document(found), "steps": list(removal.STEPS)})
    else:
        rows = [("✓" if item.ok else "✗", item.name, item.detail) for item in found]
        console().print(table(("", "check", "found"), rows))
        left = [item.fix for item in found if not item.ok] + list(removal.STEPS)
        for number, step in enumerate(left, 1):
            console().print(f"{number}. {step}", markup=False)
    raise typer.Exit(FAILED if check and not good else 0)
