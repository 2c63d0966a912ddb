"""Peers that know each other and talk without a pause, and the proof that no request failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.access import Cluster, url
from cluster.mesh import eventually
from cluster.pods import WAIT, pod, serve, service

ASKS = (
    "trap exit TERM; while :; do "
    "if timeout 10 wget -qO- $TARGET >/dev/null; then echo ok; else echo failed; fi; "
    "sleep 0.2; done"
)
"""Says how each of its requests ended. A slow machine may take some seconds for an answer."""


def asking(name: str, cluster: Cluster, target: str, node: str = "") -> dict[str, Any]:
    """A pod that asks the Service `target` all the time.

    By address: while nothing runs that knows names, nobody should depend on it.
    """
    found = pod(name, ["sh", "-c", ASKS], node)
    address = url(cluster.get("service", target)["spec"]["clusterIP"], 80)
    found["spec"]["containers"][0]["env"] = [{"name": "TARGET", "value": address}]
    return found


def talking(cluster: Cluster) -> Cluster:
    """`web` on the second node, and on the first `asks`, which asks it all the time, and `client`,
    which does nothing by itself.
    """
    first, second = cluster.nodes()[:2]
    cluster.apply(pod("client", WAIT, first), pod("web", serve("hello"), second), service("web"))
    cluster.ready("client", "web")
    assert cluster.fetch("client", "http://web/") == "hello"
    cluster.apply(asking("asks", cluster, "web", first))
    cluster.ready("asks")
    eventually(lambda: "ok" in cluster.kubectl("logs", "asks"))
    return cluster


@contextmanager
def no_request_fails(cluster: Cluster, name: str = "asks") -> Iterator[None]:
    """Of those that the pod `name` sends from the beginning of the block to a while after it."""

    def said() -> list[str]:
        return cluster.kubectl("logs", name).splitlines()

    # What was under way before may still have met what went before.
    under_way = len(said())
    eventually(lambda: "ok" in said()[under_way + 1 :])
    before = len(said())
    yield
    at_the_end = len(said())
    eventually(lambda: len(said()) > at_the_end + 5, 120)
    assert "failed" not in said()[before:]
