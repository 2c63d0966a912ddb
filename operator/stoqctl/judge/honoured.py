"""Can the nodes do what is asked of them for the pods that run there? Pure.

What is asked is said by policies, by annotations of pods (which their sidecars have as settings),
and by values of the chart. What a node can do is said by its NodeCapability.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stoq.injection.names import PREFIX
from stoq.records.errors import RecordError
from stoq.records.manifest import decode
from stoq.records.mesh import MeshConfig
from stoq.records.meta import API_VERSION
from stoq.records.policy import TransportPolicy, saying
from stoqctl.finding import Finding
from stoqctl.judge.facts import Facts, Object, few, labels, name
from stoqctl.judge.workloads import lives, meshed, sidecar

STRICT: Final = "strict"
CAPTURE: Final = "capture"
CLIENT: Final = "client-address"
UDP: Final = "captured-udp"
"""Features of a NodeCapability."""

_MODES: Final = (
    ("inbound", "STOQ_POD_INBOUND", "strict"),
    ("outbound", "STOQ_POD_OUTBOUND", "meshOnly"),
)
"""Field, setting of the sidecar that overrides it, and the word that is strict."""

_WHAT: Final = {
    STRICT: "the kernel does not enforce strict mode",
    CAPTURE: "the agent cannot capture",
    CLIENT: "applications do not see the addresses of IPv4 clients",
    UDP: "applications' UDP is not captured",
}

_INSTEAD: Final = {
    STRICT: "their sidecars alone enforce it",
    CAPTURE: "they wait for it",
    CLIENT: "they see their own pod's",
    UDP: "they wait for it",
}
"""What becomes of the pods."""

Asked = tuple[str, str]
"""Who asks, as he is called, and for which feature."""


@dataclass(frozen=True, slots=True)
class _Policies:
    """What those that can be read say; the operator tells of the others."""

    mesh: MeshConfig | None
    transport: tuple[TransportPolicy, ...]


def findings(facts: Facts, objects: Iterable[Object]) -> Iterator[Finding]:
    """One for each policy and node that cannot do what it asks; `objects` are the records and
    policies. Nothing where there are no node agents: nobody asks anything of nodes.
    """
    if facts.agents is None:
        return
    known = {name(item): item.get("status") or {} for item in facts.capabilities}
    pods = [pod for pod in facts.pods if lives(pod) and meshed(pod) and _node(pod)]
    policies = _read(facts.meshes, objects)
    found: dict[tuple[str, str, str], list[str]] = {}
    for pod in pods:
        for who, feature in asked(pod, policies):
            if _lacks(known.get(_node(pod)), feature):
                found.setdefault((who, _node(pod), feature), []).append(name(pod))
    for (who, node, feature), names in sorted(found.items()):
        yield Finding(
            f"{who} on node {node}",
            False,
            f"{_WHAT[feature]} for {few(sorted(names))}, {_INSTEAD[feature]}: "
            f"{_lacks(known.get(node), feature)}",
            f"mend what the reason names, keep these pods off {node} (nodeSelector), or ask less; "
            f"kubectl get nodecapability {node} -o yaml",
        )
    if not found:
        where = len({_node(pod) for pod in pods})
        yield Finding(
            "policies on nodes", True, f"{where} nodes can do what {len(pods)} meshed pods ask"
        )


def asked(pod: Object, policies: _Policies) -> Iterator[Asked]:
    """What is asked of the pod's node for it."""
    said = _settings(pod)
    strict = [_who(pod, said, policies, *mode) for mode in _MODES]
    yield from ((who, STRICT) for who in dict.fromkeys(strict) if who)
    if said.get("STOQ_CAPTURE_MODE") != "node":
        return
    yield "capture.mode=node of the chart", CAPTURE
    if said.get("STOQ_CAPTURE_UDP") == "on":
        yield "capture.udp=true of the chart", UDP
    if said.get("STOQ_CAPTURE_CLIENT_ADDRESS") == "on":
        yield f"annotation {PREFIX}client-address", CLIENT


def _who(
    pod: Object, said: Mapping[str, str], policies: _Policies, field: str, setting: str, strict: str
) -> str:
    """Who has the pod be strict in this direction; empty if nobody."""
    if setting in said:
        return f"annotation {PREFIX}{field}" if said[setting] == strict else ""
    place = pod["metadata"]["namespace"]
    policy = saying(field, policies.transport, place, labels(pod))
    if policy is not None:
        who = f"TransportPolicy {place}/{policy.metadata.name}"
        return who if getattr(policy.spec, field) == strict else ""
    mesh = policies.mesh
    if mesh is None or getattr(mesh.spec, field) != strict:
        return ""
    return f"MeshConfig {mesh.metadata.name}"


def _lacks(status: Mapping[str, Any] | None, feature: str) -> str:
    """Why a node cannot; empty if it can."""
    if status is None:
        return "it has no NodeCapability, so no agent has looked"
    features = {one["name"]: one for one in status.get("features") or ()}
    if feature == STRICT:
        wanted = [features[one] for one in (STRICT, "account") if one in features]
        reasons = [one.get("reason") or "" for one in wanted if not one.get("supported")]
        if status.get("strict"):
            return ""
        return reasons[0] if reasons else status.get("reason") or "its agent does not say why"
    if feature not in features:
        return "its agent captures in no pods (STOQ_CAPTURE_NAMESPACES)"
    one = features[feature]
    return "" if one.get("supported") else one.get("reason") or "its agent does not say why"


def _read(meshes: Sequence[Object], objects: Iterable[Object]) -> _Policies:
    read = [_record(item, "MeshConfig") for item in sorted(meshes, key=name)]
    found = [_record(item, item["kind"]) for item in objects if item["kind"] == "TransportPolicy"]
    return _Policies(
        next((one for one in read if isinstance(one, MeshConfig)), None),
        tuple(one for one in found if isinstance(one, TransportPolicy)),
    )


def _record(raw: Object, kind: str) -> object:
    try:
        return decode({**raw, "apiVersion": API_VERSION, "kind": kind})
    except RecordError:
        return None


def _settings(pod: Object) -> dict[str, str]:
    """Of its sidecar, which nobody can change while the pod lives."""
    variables = (sidecar(pod["spec"]) or {}).get("env") or ()
    return {item["name"]: item["value"] for item in variables if item.get("value")}


def _node(pod: Object) -> str:
    """Where it runs; empty if nowhere yet."""
    return str(pod["spec"].get("nodeName") or "")
