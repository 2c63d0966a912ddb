"""The README's way to a mesh on Kubernetes, word by word, on a cluster without one."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.access import Cluster, answer_addresses, run
from cluster.mesh import RELEASE, Mesh, eventually, rolled_out
from cluster.pods import WAIT, container
from cluster.witness import Witness

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
NAMESPACE = "shop"

BY_THE_RING = [
    "./hack/setup --cluster",
    "./hack/cluster up",
    "./hack/images | xargs ./hack/cluster load",
    "./hack/cluster down",
]
"""What hack/test has run before these tests, or runs after them: the cluster is not ours."""

ENVIRONMENT = ("eval ", "export ")
"""How commands begin that are for those after them."""

ASKS = ("kubectl wait ", "kubectl exec ", "stoqctl ")
"""How those begin that change nothing: tried again, as a reader would, when they come too early."""

STEP_SECONDS = 330.0
"""Helm waits for 300 by itself."""


def blocks() -> list[list[str]]:
    """The commands of each block of the README's part on Kubernetes."""
    part = (ROOT / "README.md").read_text().partition("\n## On Kubernetes\n")[2]
    found = re.findall(r"```sh\n(.*?)```", part.partition("\n## ")[0], re.DOTALL)
    return [_commands(block) for block in found]


def _commands(block: str) -> list[str]:
    """One a line, without remarks."""
    lines = block.replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", re.sub(r"\s\s+#.*", "", line)) for line in lines]


class Reader:
    """Somebody who types what is written, at the root of the clone."""

    def __init__(self, cluster: Cluster, first: list[str]) -> None:
        self.cluster = cluster
        self._first = first
        # Before what `hack/cluster env` says: .venv/bin, which may be elsewhere.
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        # Tables that are cut at 80 columns would hide what is looked for.
        self._environment = {"STOQ_CLUSTER": cluster.name, "PATH": programs, "COLUMNS": "250"}

    def types(self, command: str) -> str:
        if command.startswith(ASKS):
            return str(eventually(lambda: self._once(command), STEP_SECONDS))
        return self._once(command)

    def _once(self, command: str) -> str:
        script = "\n".join(["set -euo pipefail", f"cd {ROOT}", *self._first, command])
        return run(["bash", "-c", script], environment=self._environment, timeout=STEP_SECONDS)


@pytest.fixture
def without(running: Cluster, witness: Witness) -> Iterator[Cluster]:
    """A cluster without the mesh, as it is afterwards."""
    yield Cluster(running.name, NAMESPACE)
    running.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=180.0)
    Mesh(running).helm("uninstall", RELEASE, "--ignore-not-found", "--wait")


def runs_before(cluster: Cluster) -> None:
    """An application of the reader's own, which is there before the mesh."""
    labels = {"app": "own"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container("main", WAIT)]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "own"}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    cluster.apply(deployment)
    rolled_out(cluster, "own")


def test_the_readme_leads_to_a_mesh(without: Cluster) -> None:
    short, whole = blocks()
    assert [command for command in whole if command in BY_THE_RING] == BY_THE_RING
    steps = [command for command in whole if command not in BY_THE_RING]
    first = [command for command in steps if command.startswith(ENVIRONMENT)]
    reader = Reader(without, first)
    said = {}
    for step in steps[len(first) :]:
        said[step] = reader.types(step)
        if step == f"kubectl create namespace {NAMESPACE}":
            runs_before(without)
    assert said[f"kubectl exec -n {NAMESPACE} client -- wget -qO- http://hello/"].strip() == (
        "hello over STOQ"
    )
    assert "X25519MLKEM768" in said[f"stoqctl connections {NAMESPACE}/client"]

    # The short way is the same installation, with images from a registry.
    install, *others = short
    assert any(step.startswith(install) for step in steps)
    for step in others:
        reader.types(step)
    rolled_out(without, "own")
    # The one before may still be ending.
    own = [
        pod
        for pod in without.get("pods", "--selector=app=own")["items"]
        if "deletionTimestamp" not in pod["metadata"]
    ]
    assert [pod["spec"]["initContainers"][0]["name"] for pod in own] == ["stoq-sidecar"]

    without.kubectl("apply", "-f", str(ROOT / "examples" / "trustchain.yaml"))
    name = f"trustchain.{NAMESPACE}.stoq"
    found = eventually(lambda: answer_addresses(without.execute("client", "nslookup", name)))
    assert found == [without.get("stoqsr", "trustchain")["status"]["vip"]]
    assert "trustchain" in without.kubectl("get", "stoqsr")
