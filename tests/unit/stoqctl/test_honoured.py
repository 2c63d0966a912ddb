"""What `check` says of policies that a pod's node cannot honour."""

from typing import Any

import pytest

from stoqctl.judge import honoured
from stoqctl.judge.facts import Facts
from unit.stoqctl.mesh import pod

OLD = "kernel 6.1.0 is older than Linux 6.6"
MESH = {"metadata": {"name": "default"}, "spec": {"trustDomain": "cluster.local"}}


def feature(name: str, reason: str = "") -> dict[str, Any]:
    return {"name": name, "supported": not reason, "reason": reason}


def node(name: str, *features: dict[str, Any]) -> dict[str, Any]:
    can = {one["name"]: one["supported"] for one in features}
    status = {"strict": can.get("strict", False), "features": features}
    return {"metadata": {"name": name}, "status": status}


def on(where: str, name: str, **settings: str) -> dict[str, Any]:
    found = pod(name, nodeName=where)
    found["spec"]["initContainers"][0]["env"] = [
        {"name": name, "value": value} for name, value in settings.items()
    ]
    return found


def strict(name: str = "closed", app: str = "", **spec: str) -> dict[str, Any]:
    selector = {"selector": {"matchLabels": {"app": app}}} if app else {}
    return {
        "kind": "TransportPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {**selector, **(spec or {"inbound": "strict"})},
    }


def found(
    *pods: dict[str, Any],
    capabilities: list[dict[str, Any]],
    policies: list[dict[str, Any]] | None = None,
    mesh: dict[str, str] | None = None,
) -> dict[str, str]:
    """What is wrong, by its heading."""
    spec = {**MESH["spec"], **(mesh or {})}  # type: ignore[dict-item]
    facts = Facts(
        version={},
        agents={},
        capabilities=capabilities,
        pods=pods,
        meshes=[{**MESH, "spec": spec}],
    )
    all_ = list(honoured.findings(facts, policies or []))
    assert all(one.fix for one in all_ if not one.ok)
    return {one.name: one.detail for one in all_ if not one.ok}


GOOD = node("n1", feature("strict"), feature("account"))
BAD = node("n0", feature("strict", OLD), feature("account", OLD))


def test_a_strict_policy_is_named_with_each_node_whose_kernel_does_not_enforce_it() -> None:
    wrong = found(
        on("n0", "web-0"),
        on("n0", "web-1"),
        on("n1", "web-2"),
        on("n0", "db-0"),
        capabilities=[GOOD, BAD],
        policies=[strict(app="web")],
    )
    said = "the kernel does not enforce strict mode for shop/web-0, shop/web-1, "
    said += f"their sidecars alone enforce it: {OLD}"
    assert wrong == {"TransportPolicy shop/closed on node n0": said}


def test_where_the_nodes_can_do_it_one_line_says_so() -> None:
    facts = Facts(version={}, agents={}, capabilities=[GOOD], pods=[on("n1", "web-0")])
    (fine,) = honoured.findings(facts, [strict()])
    assert fine.ok
    assert fine.detail == "1 nodes can do what 1 meshed pods ask"


def test_nothing_is_asked_of_nodes_without_agents_or_where_nothing_is_strict() -> None:
    facts = Facts(version={}, pods=[on("n0", "web-0")])
    assert not list(honoured.findings(facts, [strict()]))
    assert not found(on("n0", "web-0"), capabilities=[BAD])
    ended = on("n0", "web-0")
    ended["status"]["phase"] = "Succeeded"
    assert not found(ended, pod("db-0"), capabilities=[BAD], policies=[strict()])


@pytest.mark.parametrize(
    ("settings", "mesh", "who"),
    [
        ({}, {"outbound": "meshOnly"}, "MeshConfig default"),
        ({"STOQ_POD_INBOUND": "strict"}, {}, "annotation stoq.dev/inbound"),
        ({"STOQ_POD_INBOUND": "permissive"}, {"inbound": "strict"}, ""),
    ],
)
def test_who_asks_is_whose_word_holds(
    settings: dict[str, str], mesh: dict[str, str], who: str
) -> None:
    wrong = found(on("n0", "web-0", **settings), capabilities=[BAD], mesh=mesh)
    assert list(wrong) == ([f"{who} on node n0"] if who else [])


def test_a_policy_for_some_pods_wins_over_that_of_the_namespace() -> None:
    loose = strict("loose", app="web", inbound="permissive")
    policies = [strict(), loose]
    assert not found(on("n0", "web-0"), capabilities=[BAD], policies=policies)
    wrong = found(on("n0", "db-0"), capabilities=[BAD], policies=policies)
    assert list(wrong) == ["TransportPolicy shop/closed on node n0"]


def test_a_node_of_which_nothing_is_known_honours_nothing() -> None:
    wrong = found(on("n7", "web-0"), capabilities=[BAD], policies=[strict()])
    (detail,) = wrong.values()
    assert detail.endswith("it has no NodeCapability, so no agent has looked")


def test_parts_of_capture_that_a_node_cannot_do_are_named_one_by_one() -> None:
    asking = {
        "STOQ_CAPTURE_MODE": "node",
        "STOQ_CAPTURE_UDP": "on",
        "STOQ_CAPTURE_CLIENT_ADDRESS": "on",
    }
    can = feature("capture")
    lacking = [feature("client-address", "no nft_fib"), feature("captured-udp", "no NET_RAW")]
    wrong = found(on("n0", "web-0", **asking), capabilities=[node("n0", can, *lacking)])
    assert {who: detail.rpartition(": ")[2] for who, detail in wrong.items()} == {
        "annotation stoq.dev/client-address on node n0": "no nft_fib",
        "capture.udp=true of the chart on node n0": "no NET_RAW",
    }
    # What is tried without being asked for fails nobody.
    less = {**asking, "STOQ_CAPTURE_UDP": "off", "STOQ_CAPTURE_CLIENT_ADDRESS": "auto"}
    assert not found(on("n0", "web-0", **less), capabilities=[node("n0", can, *lacking)])
    (detail,) = found(on("n0", "web-0", **less), capabilities=[node("n0")]).values()
    assert detail.startswith("the agent cannot capture for shop/web-0, they wait for it")


def test_a_policy_that_cannot_be_read_asks_for_nothing() -> None:
    broken = strict(inbound="closed")
    assert not found(on("n0", "web-0"), capabilities=[BAD], policies=[broken])
