"""Policies decide at the destination who is let in."""

import pytest

from cluster.access import Cluster, Failed
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, serve, service

pytestmark = pytest.mark.timeout(300)


def policy(kind: str, name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "stoq.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, **spec},
    }


def refused(cluster: Cluster, caller: str, target: str) -> bool:
    """Whether one request, without a second try, fails."""
    try:
        cluster.execute(caller, "timeout", "5", "wget", "-qO-", target)
    except Failed:
        return True
    return False


def test_strict_refuses_plaintext_and_goes_on_serving_the_mesh(shop: Cluster, mesh: Mesh) -> None:
    shop.apply(pod("vault", serve("secret")), service("vault"), pod("member", WAIT))
    shop.ready("vault", "member")
    name = f"http://vault.{shop.namespace}/"
    with mesh.namespace(enrolled=False) as outside:
        outside.apply(pod("stranger", WAIT))
        outside.ready("stranger")
        assert outside.fetch("stranger", name) == "secret"
        shop.apply(policy("TransportPolicy", "vault", inbound="strict"))
        eventually(lambda: refused(outside, "stranger", name))
        assert shop.fetch("member", name) == "secret"
        assert refused(outside, "stranger", name)


def test_an_access_policy_admits_whom_it_names_and_nobody_else(shop: Cluster) -> None:
    shop.kubectl("create", "serviceaccount", "friend")
    shop.apply(
        pod("door", serve("come in")),
        service("door"),
        pod("friend", WAIT, serviceAccountName="friend"),
        pod("other", WAIT),
    )
    shop.ready("door", "friend", "other")
    assert shop.fetch("other", "http://door/") == "come in"
    rules = [{"from": {"serviceAccounts": [f"{shop.namespace}/friend"]}}]
    shop.apply(policy("AccessPolicy", "door", action="allow", rules=rules))
    eventually(lambda: refused(shop, "other", "http://door/"))
    assert shop.fetch("friend", "http://door/") == "come in"
