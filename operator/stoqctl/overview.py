"""A whole mesh at a glance, from facts that were gathered before. Pure."""

from collections import Counter
from typing import Any

from stoqctl.judge.facts import Facts, condition, name
from stoqctl.judge.workloads import lives, meshed, sidecar, stands_outside, status_of


def overview(facts: Facts) -> dict[str, Any]:
    """The control plane, the mesh's modes, and each enrolled namespace."""
    deployment = facts.deployment or {}
    holder = ((facts.lease or {}).get("spec") or {}).get("holderIdentity") or ""
    spec = facts.meshes[0]["spec"] if facts.meshes else {}
    return {
        "operator": {
            "installed": bool(deployment),
            "replicas": (deployment.get("spec") or {}).get("replicas", 0),
            "ready": (deployment.get("status") or {}).get("readyReplicas", 0),
            "leader": holder,
        },
        "mesh": {
            "trust_domain": spec.get("trustDomain", "unknown"),
            "inbound": spec.get("inbound", "permissive"),
            "outbound": spec.get("outbound", "allow"),
            "capture": facts.capture,
            "captured_udp": facts.capture_udp,
        },
        "namespaces": [_namespace(facts, name(item)) for item in facts.enrolled],
        "nodes": {
            "ready": sum(
                (condition(node, "Ready") or {}).get("status") == "True" for node in facts.nodes
            ),
            "all": len(facts.nodes),
        },
    }


def _namespace(facts: Facts, place: str) -> dict[str, Any]:
    pods = [pod for pod in facts.pods if pod["metadata"]["namespace"] == place and lives(pod)]
    inside = [pod for pod in pods if meshed(pod)]
    images = Counter(str((sidecar(pod["spec"]) or {})["image"]) for pod in inside)
    return {
        "name": place,
        "pods": len(pods),
        "meshed": len(inside),
        "ready": sum(bool(status_of(pod).get("ready")) for pod in inside),
        "without_sidecar": sum(not meshed(pod) and not stands_outside(pod) for pod in pods),
        "images": dict(images.most_common()),
    }
