"""A kubelet's probes of strict pods say what the application is, not what the sidecar is."""

from typing import Any

import pytest

from cluster.access import Cluster, Failed
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, serve

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def strict(mesh: Mesh) -> Any:
    with mesh.namespace() as namespace:
        namespace.apply(
            {
                "apiVersion": "stoq.dev/v1alpha1",
                "kind": "TransportPolicy",
                "metadata": {"name": "strict"},
                "spec": {"inbound": "strict"},
            }
        )
        yield namespace


def probed(name: str, command: list[str], probe: dict[str, Any]) -> dict[str, Any]:
    made = pod(name, command)
    made["spec"]["containers"][0]["readinessProbe"] = {"periodSeconds": 1, **probe}
    return made


def test_a_pod_is_ready_once_it_answers_its_node(strict: Cluster) -> None:
    strict.apply(
        probed("http", serve("ok"), {"httpGet": {"path": "/", "port": 8080}}),
        probed("tcp", serve("ok"), {"tcpSocket": {"port": 8080}}),
        probed("deaf", WAIT, {"tcpSocket": {"port": 8080}}),
    )
    strict.ready("http", "tcp")

    def refused() -> bool:
        said = strict.kubectl("get", "events", "--field-selector=involvedObject.name=deaf")
        return "Readiness probe failed" in said and "connection refused" in said

    eventually(refused)
    with pytest.raises(Failed, match="timed out"):
        strict.kubectl("wait", "--for=condition=Ready", "pod/deaf", "--timeout=2s")
