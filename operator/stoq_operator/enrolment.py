"""What an enrolled namespace needs, and what stands in its way. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from stoq.injection.config import CaptureMode
from stoq.records.cluster import NAMESPACE_CONDITION, ClusterService, Namespace
from stoq.records.mesh import MeshConfigSpec
from stoq.records.meta import API_VERSION, Key
from stoq.records.workload import Workload
from stoq_operator.conditions import MAX_MESSAGE
from stoq_operator.problem import Problem
from stoq_operator.world import World

LABEL: Final = "stoq.dev/inject"
"""On namespaces and pods: `enabled` or `disabled`."""

TRUST: Final = "stoq-trust"
"""The ConfigMap that every pod's sidecar mounts."""

BUNDLE: Final = "bundle.pem"

ENFORCED: Final = "pod-security.kubernetes.io/enforce"

IPV4_VIPS: Final = "240.0.0.0/4"
"""Reserved for future use since 1989 (RFC 1112, section 4), so it is nobody's."""


def enrolled(world: World) -> tuple[str, ...]:
    """Namespaces whose pods are meshed, all or some of them."""
    found = {
        record.metadata.name
        for record in world.records.values()
        if isinstance(record, Namespace) and record.metadata.labels.get(LABEL) == "enabled"
    }
    found.update(
        record.metadata.namespace
        for record in world.records.values()
        if isinstance(record, Workload)
    )
    return tuple(sorted(found))


def trust_maps(namespaces: Iterable[str], bundle: str) -> list[dict[str, Any]]:
    """The ConfigMap of each namespace."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": TRUST,
                "namespace": namespace,
                "labels": {"app.kubernetes.io/managed-by": "stoq-operator"},
            },
            "data": {BUNDLE: bundle},
        }
        for namespace in namespaces
    ]


def obstacles(world: World, capture: CaptureMode = "init") -> dict[Key, Problem]:
    """Enrolled namespaces whose pods will be refused: by their Pod Security level, where capture
    needs NET_ADMIN in an init container.
    """
    found: dict[Key, Problem] = {}
    if capture == "node":
        return found
    for key, record in world.records.items():
        if not isinstance(record, Namespace):
            continue
        labels = record.metadata.labels
        level = labels.get(ENFORCED, "privileged")
        if labels.get(LABEL) == "enabled" and level != "privileged":
            found[key] = Problem(
                "PodSecurityRefuses",
                f"namespace {key.name} enforces Pod Security {level}, which refuses the init "
                f"container that captures traffic: no meshed pod can start. Install the mesh "
                f"with capture.mode=node, or set {ENFORCED} to privileged, or remove the label "
                f"{LABEL}",
            )
    return found


def judged_namespaces(world: World, found: Mapping[Key, Problem], now: str) -> list[dict[str, Any]]:
    """What to apply to the status of namespaces that does not say so yet: `NAMESPACE_CONDITION` is
    there while something is in the way. `found` are the obstacles, `now` is the time in RFC 3339.
    """
    manifests = []
    for key, record in world.records.items():
        if not isinstance(record, Namespace):
            continue
        problem = found.get(key)
        before = record.status.conditions
        if problem is None:
            if before:
                manifests.append(_namespace_status(key, {}))
            continue
        said = {"reason": problem.reason, "message": problem.text[:MAX_MESSAGE]}
        if any((one.reason, one.message) == tuple(said.values()) for one in before):
            continue
        since = before[0].last_transition_time if before else now
        condition = {
            "type": NAMESPACE_CONDITION,
            "status": "False",
            **said,
            "lastTransitionTime": since,
        }
        manifests.append(_namespace_status(key, {"conditions": [condition]}))
    return manifests


def _namespace_status(key: Key, status: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": key.name},
        "status": dict(status),
    }


def default_mesh(mesh: MeshConfigSpec, services: Iterable[ClusterService]) -> dict[str, Any]:
    """The MeshConfig of a cluster that has none, with what `mesh` has fixed. Where all Services
    have IPv4 addresses only, so have service records.
    """
    addresses = [vip for service in services for vip in service.vips]
    spec: dict[str, str] = {"trustDomain": mesh.trust_domain}
    if mesh.profile != "hybrid-1024":
        spec["profile"] = mesh.profile
    if addresses and not any(":" in address for address in addresses):
        spec["vipRange"] = IPV4_VIPS
    return {
        "apiVersion": API_VERSION,
        "kind": "MeshConfig",
        "metadata": {"name": "default"},
        "spec": spec,
    }


def event(
    key: Key, uid: str, api_version: str, problem: Problem, name: str, now: str
) -> Mapping[str, Any]:
    """The Event that tells of `problem`; `name` makes it one of its kind, `now` is RFC 3339."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": key.namespace or "default"},
        "involvedObject": {
            "apiVersion": api_version,
            "kind": key.kind,
            "name": key.name,
            "uid": uid,
            **({"namespace": key.namespace} if key.namespace else {}),
        },
        "type": "Warning",
        "reason": problem.reason,
        "message": problem.text[:1024],
        "source": {"component": "stoq-operator"},
        "reportingComponent": "stoq-operator",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
