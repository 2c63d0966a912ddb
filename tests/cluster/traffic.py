"""Strict peers that know each other and talk without a pause, and the proof that no request failed
and that nobody else was let in.
"""

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

TRIES = (
    "trap exit TERM; while :; do "
    "if timeout 2 wget -qO- $TARGET >/dev/null 2>&1; then echo let in; else echo refused; fi; "
    "sleep 0.2; done"
)
"""Says of each of its requests whether it was let in. A node that enforces strict mode drops it."""

STRANGER = "stranger"

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


def asking(
    name: str, cluster: Cluster, target: str, node: str = "", script: str = ASKS
) -> dict[str, Any]:
    """A pod that asks the Service `target` all the time.

    By address: while nothing runs that knows names, nobody should depend on it.
    """
    found = pod(name, ["sh", "-c", script], node)
    address = url(cluster.get("service", target)["spec"]["clusterIP"], 80)
    found["spec"]["containers"][0]["env"] = [{"name": "TARGET", "value": address}]
    return found


def talking(cluster: Cluster) -> Cluster:
    """`web` on the second node, and on the first `asks`, which asks it all the time, and `client`,
    which does nothing by itself. All are strict both ways; `stranger`, on the first node too, is in
    no mesh and tries to reach `web` all the time.
    """
    first, second = cluster.nodes()[:2]
    cluster.apply(pod("client", WAIT, first), pod("web", serve("hello"), second), service("web"))
    cluster.apply(outsider(STRANGER, cluster, "web", first))
    cluster.ready("client", "web", STRANGER)
    assert cluster.fetch("client", "http://web/") == "hello"
    # It can, before it may not: what keeps it out from then on is the policy.
    eventually(lambda: "let in" in answers(cluster, STRANGER))
    cluster.apply(STRICT, asking("asks", cluster, "web", first))
    cluster.ready("asks")
    eventually(lambda: "ok" in cluster.kubectl("logs", "asks"))
    eventually(lambda: answers(cluster, STRANGER)[-2:] == ["refused"] * 2)
    return cluster


def outsider(name: str, cluster: Cluster, target: str, node: str) -> dict[str, Any]:
    """A pod without a sidecar that says of each try to reach the Service whether it was let in."""
    found = asking(name, cluster, target, node, TRIES)
    found["metadata"]["labels"]["stoq.dev/inject"] = "disabled"
    return found


@contextmanager
def no_request_fails(cluster: Cluster, name: str = "asks") -> Iterator[None]:
    """Of those that the pod `name` sends from the beginning of the block to a while after it; each
    of the stranger's is refused meanwhile.
    """

    before, tried = steady(cluster, name), len(answers(cluster, STRANGER))
    yield
    at_the_end, tried_at_the_end = len(answers(cluster, name)), len(answers(cluster, STRANGER))
    eventually(lambda: len(answers(cluster, name)) > at_the_end + 5, 120)
    eventually(lambda: len(answers(cluster, STRANGER)) > tried_at_the_end + 1)
    assert [line for line in answers(cluster, name)[before:] if line != "ok"] == []
    assert set(answers(cluster, STRANGER)[tried:]) == {"refused"}, "plaintext was let in"


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
