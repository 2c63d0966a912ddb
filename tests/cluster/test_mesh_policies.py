"""Policies decide at the destination who is let in."""

import pytest

from cluster.access import Cluster, Failed, url
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, serve, service

pytestmark = pytest.mark.timeout(600)


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


def test_a_mesh_only_pod_reaches_no_stranger_but_by_an_excluded_port(
    shop: Cluster, mesh: Mesh
) -> None:
    open_ = pod("open", WAIT)
    open_["metadata"]["annotations"] = {"stoq.dev/exclude-outbound-ports": "8080"}
    shop.apply(pod("closed", WAIT), open_)
    for name in ("closed", "open"):
        shop.apply(policy("TransportPolicy", name, outbound="meshOnly"))
    with mesh.namespace(enrolled=False) as outside:
        outside.apply(pod("stranger", serve("outside")))
        outside.ready("stranger")
        shop.ready("closed", "open")
        target = url(outside.addresses("stranger")[0])
        eventually(lambda: refused(shop, "closed", target))
        assert shop.fetch("open", target) == "outside"


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


def test_adaptation_that_makes_no_sense_is_refused_with_the_field(shop: Cluster) -> None:
    for wanted, said in (
        ({"tier": "fast"}, 'adaptation.tier: Unsupported value: "fast": supported values: "slow"'),
        ({"congestion": "vegas"}, 'adaptation.congestion: Unsupported value: "vegas"'),
        (
            {"minTier": "enterprise", "maxTier": "home"},
            "minTier 'enterprise' is better than maxTier 'home'; the order is slow, home",
        ),
        ({"tier": "home", "minTier": "slow"}, "tier 'home' pins the tier: leave out minTier"),
    ):
        with pytest.raises(Failed, match=said):
            shop.apply(policy("TransportPolicy", "nonsense", adaptation=wanted))
