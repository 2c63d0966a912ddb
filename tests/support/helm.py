"""Helm, as hack/cluster builds it, on the chart of this repository."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "stoq"

Objects = dict[tuple[str, str], dict[str, Any]]


class Refused(Exception):
    """Helm said no; the message is what it said."""


@cache
def path() -> str:
    """PATH with the helm that `hack/cluster build` made first."""
    built = subprocess.run(
        [ROOT / "hack" / "cluster", "build"], capture_output=True, text=True, check=True
    )
    return f"{built.stdout.strip().splitlines()[-1]}/bin:{os.environ['PATH']}"


def helm(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["helm", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path()},
        check=False,
    )
    if done.returncode != 0:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def rendered(*values: str, namespace: str = "stoq-system") -> Objects:
    """Objects of the chart with values `a.b=c`, by kind and name."""
    text = helm(
        "template", "stoq", CHART, "--namespace", namespace, *(f"--set={v}" for v in values)
    )
    found = [item for item in yaml.safe_load_all(text) if item]
    objects = {(item["kind"], item["metadata"]["name"]): item for item in found}
    assert len(objects) == len(found)
    return objects
