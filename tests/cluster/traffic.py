"""Strict peers that know each other and talk without a pause, and the proof that no request failed
and that no plaintext came in or went out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster.access import Cluster, url
from cluster.mesh import eventually
from cluster.pods import WAIT, container, pod, serve, service

ASKS = (
    "trap exit TERM; while :; do begun=$(date +%T); "
    "if said=$(timeout 10 wget -qO- $TARGET 2>&1 >/dev/null); then echo ok; "
    'else echo "failed: begun at $begun, status $?: $said"; fi; '
    "sleep 0.2; done"
)
"""Says how each of its requests ended. A slow machine may take some seconds for an answer."""

TRIES = (
    "trap exit TERM; while :; do "
    "if timeout 2 wget -qO- $TARGET >/dev/null 2>&1; then echo passed; else echo refused; fi; "
    "sleep 0.5; done"
)
"""Says of each of its requests whether it passed. A node that enforces strict mode drops it."""

PLAINTEXT = (("stranger", "main"), ("asks", "strays"))
"""Pods and their containers that try TRIES: at a strict pod, and from one."""

STRICT = {
    "apiVersion": "stoq.dev/v1alpha1",
    "kind": "TransportPolicy",
    "metadata": {"name": "strict"},
    "spec": {"inbound": "strict", "outbound": "meshOnly"},
}

STEADY = 10
"""Answers in a row after which nothing of what went before is on its way any more: two seconds."""

STEADY_SECONDS = 90.0
"""For them: a request that is not answered takes ten by itself."""


def asking(name: str, cluster: Cluster, target: str, node: str = "") -> dict[str, Any]:
    """A pod that asks the Service `target` all the time."""
    return pod(name, WAIT, node, containers=[loop("main", ASKS, cluster, target)])


def loop(name: str, script: str, cluster: Cluster, target: str) -> dict[str, Any]:
    """A container that asks the Service `target` all the time.

    By address: while nothing runs that knows names, nobody should depend on it.
    """
    address = url(cluster.get("service", target)["spec"]["clusterIP"], 80)
    return container(name, ["sh", "-c", script], env=[{"name": "TARGET", "value": address}])


def talking(cluster: Cluster) -> Cluster:
    """`web` on the second node, and on the first `asks`, which asks it all the time, and `client`,
    which does nothing by itself. All are strict both ways; `stranger`, on the first node too, is in
    no mesh, and it and `asks` try to reach each other's side in plaintext all the time.
    """
    first, second = cluster.nodes()[:2]
    cluster.apply(service("web"), service("stranger"))
    stranger = [loop("main", TRIES, cluster, "web"), container("server", serve("outside"))]
    outsider = pod("stranger", WAIT, first, containers=stranger)
    outsider["metadata"]["labels"]["stoq.dev/inject"] = "disabled"
    cluster.apply(pod("client", WAIT, first), pod("web", serve("hello"), second), outsider)
    cluster.ready("client", "web", "stranger")
    assert cluster.fetch("client", "http://web/") == "hello"
    # They can, before they may not: what keeps them apart from then on is the policy.
    assert cluster.fetch("client", "http://stranger/") == "outside"
    eventually(lambda: "passed" in answers(cluster, "stranger"))
    asks = asking("asks", cluster, "web", first)
    asks["spec"]["containers"].append(loop("strays", TRIES, cluster, "stranger"))
    cluster.apply(STRICT, asks)
    cluster.ready("asks")
    eventually(lambda: "ok" in answers(cluster, "asks"))
    for each in PLAINTEXT:
        eventually(lambda each=each: answers(cluster, *each)[-2:] == ["refused"] * 2)
    return cluster


@contextmanager
def no_request_fails(cluster: Cluster, name: str = "asks") -> Iterator[None]:
    """Of those that the pod `name` sends from the beginning of the block to a while after it; and
    of those in plaintext none passes meanwhile.
    """

    before = steady(cluster, name)
    tried = {each: len(answers(cluster, *each)) for each in PLAINTEXT}
    yield
    at_the_end = len(answers(cluster, name))
    later = {each: len(answers(cluster, *each)) + 1 for each in PLAINTEXT}
    eventually(lambda: len(answers(cluster, name)) > at_the_end + 5, 120)
    for each in PLAINTEXT:
        eventually(lambda each=each: len(answers(cluster, *each)) > later[each])
        assert set(answers(cluster, *each)[tried[each] :]) == {"refused"}, each
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


def answers(cluster: Cluster, name: str, inside: str = "main") -> list[str]:
    """How the requests of a container ended so far: `ok`, or what went wrong."""
    return cluster.kubectl("logs", name, "-c", inside).splitlines()
