"""Containers behave as on any node: exec, logs, native sidecars, jobs, limits."""

import json
from pathlib import Path

import pytest

from cluster.access import Cluster, hack_cluster
from cluster.pods import WAIT, container, pod
from clusterlib import images, packages


def test_exec_runs_inside_the_container_and_passes_its_output(cluster: Cluster) -> None:
    cluster.apply(pod("exec", WAIT))
    cluster.ready("exec")
    assert cluster.execute("exec", "sh", "-c", "hostname; id -u").split() == ["exec", "1000"]


def test_logs_are_what_the_container_printed(cluster: Cluster) -> None:
    cluster.apply(pod("says", ["sh", "-c", "echo one; echo two >&2"], restartPolicy="Never"))
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/says", "--timeout=60s")
    assert sorted(cluster.kubectl("logs", "says").split()) == ["one", "two"]


def test_a_native_sidecar_starts_first_and_ends_last(cluster: Cluster) -> None:
    sidecar = container(
        "sidecar",
        ["sh", "-c", "trap 'exit 0' TERM; touch /shared/up; while :; do sleep 0.1; done"],
        restartPolicy="Always",
        startupProbe={"exec": {"command": ["test", "-e", "/shared/up"]}, "periodSeconds": 1},
        volumeMounts=[{"name": "shared", "mountPath": "/shared"}],
    )
    manifest = pod(
        "with-sidecar",
        ["test", "-e", "/shared/up"],
        initContainers=[sidecar],
        volumes=[{"name": "shared", "emptyDir": {}}],
        restartPolicy="Never",
        securityContext={"fsGroup": 1000},
    )
    manifest["spec"]["containers"][0]["volumeMounts"] = sidecar["volumeMounts"]
    cluster.apply(manifest)
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("wait", done, "pod/with-sidecar", "--timeout=60s")
    status = cluster.get("pod", "with-sidecar")["status"]
    ended = status["initContainerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 0
    assert (
        ended["finishedAt"] >= status["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
    )


def test_a_memory_limit_ends_a_container_that_passes_it(cluster: Cluster) -> None:
    manifest = pod("greedy", ["sh", "-c", "tail /dev/zero"], restartPolicy="Never")
    manifest["spec"]["containers"][0]["resources"] = {"limits": {"memory": "32Mi"}}
    cluster.apply(manifest)
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/greedy", "--timeout=60s")
    state = cluster.get("pod", "greedy")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["reason"] == "OOMKilled"


def test_a_loaded_image_runs_on_every_node(cluster: Cluster, tmp_path: Path) -> None:
    program = packages.BUSYBOX.read_bytes()
    image = images.Image(
        f"localhost/{cluster.namespace}:1",
        {"/bin/busybox": program},
        texts={"/hello": "loaded\n"},
        entrypoint=["/bin/busybox", "cat", "/hello"],
    )
    images.write(tmp_path / "image.tar", image)
    hack_cluster("load", "--name", cluster.name, tmp_path / "image.tar")
    for node in cluster.nodes():
        manifest = pod(f"loaded-{node}", [], node, restartPolicy="Never")
        manifest["spec"]["containers"][0]["image"] = image.name
        cluster.apply(manifest)
        done = "--for=jsonpath={.status.phase}=Succeeded"
        cluster.kubectl("wait", done, f"pod/loaded-{node}", "--timeout=60s")
        assert cluster.kubectl("logs", f"loaded-{node}") == "loaded\n"


@pytest.mark.timeout(900)  # Debian is downloaded
def test_an_image_of_debian_packages_runs_them_unmodified(
    cluster: Cluster, applications: str
) -> None:
    command = ["redis-server", "--port", "6379", "--save", "", "--bind", "::", "*"]
    manifest = pod("redis", command)
    manifest["spec"]["containers"][0]["image"] = applications
    cluster.apply(manifest)
    cluster.ready("redis")
    assert cluster.execute("redis", "redis-cli", "PING").strip() == "PONG"


def test_a_service_account_token_carries_the_audience_that_was_asked_for(cluster: Cluster) -> None:
    token = cluster.kubectl("create", "token", "default", "--audience", "stoq")
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token.strip(), "audiences": ["stoq"]},
    }
    said = cluster.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
    assert json.loads(said)["status"]["authenticated"]
