"""Another version comes and goes again, under load."""

import json
import re
import shutil
from pathlib import Path

import pytest

from cluster.access import Cluster, hack_cluster, stoqctl
from cluster.mesh import CHART, RELEASE, Mesh, eventually
from cluster.pods import WAIT, pod, serve, service
from cluster.traffic import no_request_fails

pytestmark = pytest.mark.timeout(900)

NEXT = "next"
"""Tag of the images of the other version: they are the same, under another name."""

AGAIN_SECONDS = 90.0
"""From the end of a sidecar to the next answer through its successor."""


@pytest.fixture(scope="module")
def next_chart(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as of a later version, whose images are on every node."""
    chart = tmp_path_factory.mktemp("chart") / "stoq"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(re.sub(r"(?m)^(version|appVersion): .*$", r"\1: 9.8.7", about.read_text()))
    for node in mesh.cluster.nodes():
        for name in ("operator", "sidecar", "node"):
            image = f"localhost/stoq/{name}"
            tag = ["ctr", "--namespace", "k8s.io", "images", "tag", "--force"]
            enter = ["enter", "--name", mesh.cluster.name, node]
            hack_cluster(*enter, *tag, f"{image}:dev", f"{image}:{NEXT}")
    return chart


def sidecars(cluster: Cluster) -> dict[str, str]:
    """Tag of the sidecar by pod."""
    return {
        each["metadata"]["name"]: each["spec"]["initContainers"][0]["image"].rpartition(":")[2]
        for each in cluster.get("pods")["items"]
        if "initContainers" in each["spec"]
    }


def newcomer(cluster: Cluster, name: str, tag: str) -> None:
    # A replica that ends still answers for some seconds: Helm has waited for its successors only.
    eventually(lambda: offered(cluster) == tag)
    cluster.apply(pod(name, serve(name)), service(name))
    cluster.ready(name)


def offered(cluster: Cluster) -> str:
    """Tag of the sidecar that a pod would get now."""
    dry = ["create", "--dry-run=server", "-o", "json", "-f", "-"]
    made = json.loads(cluster.kubectl(*dry, stdin=json.dumps(pod("none", WAIT))))
    return str(made["spec"]["initContainers"][0]["image"].rpartition(":")[2])


def test_upgrade_and_rollback_lose_no_request_and_sidecars_of_both_ages_talk(
    pair: Cluster, mesh: Mesh, next_chart: Path
) -> None:
    with no_request_fails(pair):
        mesh.install(
            next_chart,
            **{
                "image.tag": NEXT,
                "operator.logLevel": "debug",
                "injection.resources.memoryRequest": "72Mi",
            },
        )
        newcomer(pair, "younger", NEXT)
        assert pair.fetch("client", "http://younger/") == "younger"
        assert pair.fetch("younger", "http://web/") == "hello"
        mesh.helm("rollback", RELEASE, "--wait", "--timeout=300s", timeout=300.0)
        newcomer(pair, "as-before", "dev")
        assert pair.fetch("as-before", "http://younger/") == "younger"
        assert pair.fetch("younger", "http://as-before/") == "as-before"
    tags = {"client": "dev", "web": "dev", "asks": "dev", "younger": NEXT, "as-before": "dev"}
    assert sidecars(pair) == tags


def test_sidecars_are_upgraded_in_place_and_applications_run_on(
    pair: Cluster, mesh: Mesh, next_chart: Path
) -> None:
    newcomer(pair, "bystander", "dev")
    image = ["--image", f"localhost/stoq/sidecar:{NEXT}"]
    status, said = stoqctl(pair, "upgrade", "-n", pair.namespace, *image)
    assert status == 0, said
    assert set(sidecars(pair).values()) == {NEXT}
    for each in pair.get("pods")["items"]:
        assert each["status"]["containerStatuses"][0]["restartCount"] == 0
    eventually(lambda: pair.fetch("client", "http://web/") == "hello", AGAIN_SECONDS)
    with no_request_fails(pair):
        assert pair.fetch("client", "http://bystander/") == "bystander"
