"""What benchmarks in a cluster of `hack/cluster` have in common."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchlib import machine
from benchlib.output import measured_on
from benchlib.tools import REPOSITORY
from lab import command


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


def where(about: Mapping[str, object]) -> str:
    """The sentence that a page has of it."""
    return (
        f"{measured_on(about)}, load before {about['load_before']}; "
        f"Kubernetes {about['kubernetes']}, stoq {about['stoq']}."
    )
