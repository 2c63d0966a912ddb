"""Pods that carry our sidecar, or are gateways, as workloads."""

from typing import Final

from stoq.records.workload import Workload, WorkloadSpec
from stoq_kube.meta import Raw, metadata

SIDECAR: Final = "stoq-sidecar"
"""The container that the webhook adds."""

GATEWAY: Final = "stoq-gateway"
"""The container of a gateway, which is in the mesh without a sidecar."""

ZONE: Final = "topology.kubernetes.io/zone"
"""A label of nodes, which Kubernetes copies to their pods from 1.35 on."""


def workload(pod: Raw) -> Workload | None:
    """The pod as a workload; `None` for one that is not meshed, or has ended.

    A pod of its node's network has the node's addresses, which are not its own to be known by. One
    that has no address yet can already ask for its identity.
    """
    spec, status = pod["spec"], pod.get("status") or {}
    if spec.get("hostNetwork") or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    if not _is_meshed(spec):
        return None
    found = metadata(pod)
    return Workload(
        metadata=found,
        spec=WorkloadSpec(
            addresses=_addresses(status),
            service_account=spec.get("serviceAccountName") or "default",
            uid=found.uid,
            node=spec.get("nodeName", ""),
            zone=found.labels.get(ZONE, ""),
            ready=_ready(status),
            terminating="deletionTimestamp" in pod["metadata"],
        ),
    )


def _is_meshed(spec: Raw) -> bool:
    """Whether one of ours is among the init containers, where a native sidecar is, or others."""
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    return any(container.get("name") in {SIDECAR, GATEWAY} for container in containers)


def _addresses(status: Raw) -> tuple[str, ...]:
    listed = [item["ip"] for item in status.get("podIPs") or () if item.get("ip")]
    return tuple(listed) or ((status["podIP"],) if status.get("podIP") else ())


def _ready(status: Raw) -> bool:
    return any(
        item.get("type") == "Ready" and item.get("status") == "True"
        for item in status.get("conditions") or ()
    )
