"""Peers that know each other and talk without a pause, and the proof that no request failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.access import Cluster, url
from cluster.mesh import eventually
from cluster.pods import WAIT, pod, serve, service

ASKS = (
    "trap exit TERM; while :; do begun=$(date +%T); "
    "if said=$(timeout 10 wget -qO- $TARGET 2>&1 >/dev/null); then echo ok; "
    'else echo "failed: begun at $begun, status $?: $said"; fi; '
    "sleep 0.2; done"
)
"""Says how each of its requests ended. A slow machine may take some seconds for an answer."""

STEADY = 10
"""Answers in a row after which nothing of what went before is on its way any more: two seconds."""

STEADY_SECONDS = 90.0
"""For them: a request that is not answered takes ten by itself."""


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

    before = steady(cluster, name)
    yield
    at_the_end = len(answers(cluster, name))
    eventually(lambda: len(answers(cluster, name)) > at_the_end + 5, 120)
    assert [line for line in answers(cluster, name)[before:] if line != "ok"] == []


def steady(cluster: Cluster, name: str = "asks") -> int:
    """Waits until the pod `name` is answered again and again; returns how often it has asked.

    One answer says too little after a pod's sidecar was away: that its endpoint is gone, and that
    it is back, come by two controllers and the registry, and may both come after it.
    """
    # What was under way before may still have met what went before.
    begun = len(answers(cluster, name)) + 1

    def now() -> int:
        found = answers(cluster, name)
        return len(found) if found[begun:][-STEADY:] == ["ok"] * STEADY else 0

    return int(eventually(now, STEADY_SECONDS))


def answers(cluster: Cluster, name: str) -> list[str]:
    """How the requests of the pod `name` ended so far: `ok`, or what went wrong."""
    return cluster.kubectl("logs", name).splitlines()
