"""What benchmarks in a cluster of `hack/cluster` have in common."""

import argparse
import json
from pathlib import Path
from typing import Any

from benchlib import machine
from benchlib.settings import Output
from lab import command

REPOSITORY = Path(__file__).resolve().parents[2]


def kubeconfig(cluster: str) -> Path:
    """Of a cluster that runs. Raises lab.command.CommandError."""
    said = command.run(
        [str(REPOSITORY / "hack" / "cluster"), "kubeconfig", "--name", cluster], timeout=30
    )
    return Path(said.stdout.strip())


def about() -> dict[str, Any]:
    """The machine, Kubernetes and what was measured."""
    goes = REPOSITORY / "hack" / "kube" / "go.mod"
    version = next(
        line.split()[1] for line in goes.read_text().splitlines() if "k8s.io/kubernetes v" in line
    )
    revision = machine.revision(REPOSITORY)
    return {**machine.describe({}), "kubernetes": version, "stoq": revision}


def add_output(parser: argparse.ArgumentParser) -> None:
    """The options that `Output` is made of."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="also write JSON and a Markdown page there"
    )


def show(output: Output, name: str, result: dict[str, Any], page: str) -> None:
    """Prints one of them, and keeps both as `name` where a folder was named."""
    text = json.dumps(result, indent=2)
    print(text if output.json else page)
    if output.folder is not None:
        output.folder.mkdir(parents=True, exist_ok=True)
        (output.folder / f"{name}.json").write_text(text + "\n")
        (output.folder / f"{name}.md").write_text(page)
