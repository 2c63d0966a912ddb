"""Servers nobody changed, on both sides of STOQ: PostgreSQL speaks first, Redis stays connected."""

from typing import Any

import pytest

from cluster.access import Cluster
from cluster.mesh import eventually
from cluster.pods import WAIT, container, pod, serve, service

pytestmark = pytest.mark.timeout(900)

NOBODY = 65534
"""PostgreSQL wants a user that has a name."""

POSTGRES = """\
set -e
export PATH=$PATH:$(echo /usr/lib/postgresql/*/bin) PGDATA=/data/db
initdb --auth=trust --username=app >/dev/null
printf "listen_addresses = '*'\\nunix_socket_directories = '/data'\\n" >>$PGDATA/postgresql.conf
printf 'host all all all trust\\n' >>$PGDATA/pg_hba.conf
exec postgres
"""


def server(name: str, image: str, command: list[str], port: int = 0, **more: Any) -> dict[str, Any]:
    """A pod of the applications' image; ready once its port is open, if it has one."""
    made = pod(name, command, volumes=[{"name": "data", "emptyDir": {}}])
    made["spec"]["securityContext"] = {"fsGroup": NOBODY}
    if port:
        more["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    mounts = [{"name": "data", "mountPath": "/data"}]
    main = made["spec"]["containers"][0]
    main.update(image=image, volumeMounts=mounts, **more)
    main["securityContext"]["runAsUser"] = NOBODY
    return made


def on_port(name: str, port: int) -> dict[str, Any]:
    return service(name, ports=[{"port": port, "targetPort": port}])


def test_postgresql_answers_queries(shop: Cluster, applications: str) -> None:
    user = {"name": "HOME", "value": "/data"}
    shop.apply(
        server("db", applications, ["sh", "-c", POSTGRES], 5432, env=[user]),
        on_port("db", 5432),
        server("psql", applications, WAIT),
    )
    shop.kubectl("wait", "--for=condition=Ready", "pod/db", "--timeout=240s", timeout=250.0)
    query = ["psql", "-h", "db", "-U", "app", "-d", "postgres", "-Atc"]
    ask = "SELECT count(*), length(string_agg(g::text, ',')) FROM generate_series(1, 200000) g"
    said = eventually(lambda: shop.execute("psql", *query, ask))
    assert said.strip() == "200000|1288894"


def test_redis_keeps_values_over_one_connection(shop: Cluster, applications: str) -> None:
    command = ["redis-server", "--port", "6379", "--save", "", "--protected-mode", "no"]
    command += ["--bind", "*", "-::*"]
    shop.apply(server("redis", applications, command, 6379), on_port("redis", 6379))
    shop.apply(server("asks", applications, WAIT))
    shop.ready("redis")
    commands = "for i in $(seq 500); do echo SET k$i v$i; done; echo DBSIZE"
    script = f"({commands}) | redis-cli -h redis | tail -1"
    said = eventually(lambda: shop.execute("asks", "sh", "-c", script))
    assert said.strip() == "500"


def test_pods_of_a_stateful_set_have_names_that_reach_each_of_them(shop: Cluster) -> None:
    template = pod("set", ["sh", "-c", serve("")[2].replace("echo ", "hostname")])
    labels = {"app": "set"}
    shop.apply(
        service("set", clusterIP="None", publishNotReadyAddresses=True),
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "set"},
            "spec": {
                "serviceName": "set",
                "replicas": 2,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
            },
        },
        pod("caller", WAIT),
    )
    shop.kubectl("rollout", "status", "statefulset/set", "--timeout=240s", timeout=250.0)
    shop.ready("caller")
    for name in ("set-0", "set-1"):
        assert shop.fetch("caller", f"http://{name}.set:8080/") == name
        assert shop.fetch(name, f"http://{name}.set:8080/") == name


def test_a_job_that_uses_the_network_finishes(shop: Cluster) -> None:
    shop.apply(pod("source", serve("input")), service("source"))
    shop.ready("source")
    ask = (
        "for i in $(seq 40); do timeout 3 wget -qO- http://source/ && exit; sleep 0.5; done; exit 1"
    )
    shop.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "once"},
            "spec": {
                "backoffLimit": 0,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [container("main", ["sh", "-c", ask])],
                    }
                },
            },
        }
    )
    shop.kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=180s", timeout=190.0)
    assert shop.kubectl("logs", "job/once", "-c", "main").strip() == "input"


def test_an_init_container_has_the_network_of_the_mesh(shop: Cluster) -> None:
    shop.apply(pod("early", serve("ready for you")), service("early"))
    shop.ready("early")
    ask = (
        "for i in $(seq 40); do timeout 3 wget -qO- http://early/ && exit; sleep 0.5; done; exit 1"
    )
    shop.apply(pod("starts", WAIT, initContainers=[container("first", ["sh", "-c", ask])]))
    shop.ready("starts")
    assert shop.kubectl("logs", "starts", "-c", "first").strip() == "ready for you"


def test_a_pod_that_ends_late_has_its_network_until_then(shop: Cluster) -> None:
    shop.apply(pod("sink", serve("still here")), service("sink"))
    late = (
        "trap 'sleep 4; timeout 15 wget -qO- http://sink/ >/dev/null && echo reached; exit 0' TERM;"
        " while :; do sleep 0.1; done"
    )
    shop.apply(pod("late", ["sh", "-c", late]))
    shop.ready("sink", "late")
    shop.kubectl("delete", "pod", "late", "--wait=false")
    # Its log ends with the container: followed, it is read before the pod is gone.
    assert "reached" in shop.kubectl("logs", "late", "-c", "main", "--follow")
