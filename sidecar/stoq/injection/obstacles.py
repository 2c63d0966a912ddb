"""Why a pod stays out of the mesh, or can not be let in. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoq import constants
from stoq.injection import names
from stoq.injection.config import CaptureMode

Pod = Mapping[str, Any]

LEVELS_WITHOUT_INIT: Final = frozenset({"baseline", "restricted"})
"""Pod Security Standards that refuse NET_ADMIN."""

ENFORCE: Final = "pod-security.kubernetes.io/enforce"


def exemption(pod: Pod, namespace: str, groups: Sequence[str]) -> tuple[str, str] | None:
    """(reason, sentence) of a pod that is left as it is; `groups` are those of its creator."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if namespace in names.NEVER:
        return "system_namespace", f"pods of namespace {namespace} are never meshed"
    if names.MIRROR in annotations and names.NODES_GROUP in groups:
        return "mirror", "it is the mirror of a static pod, which the kubelet runs as it stands"
    if labels.get(names.LABEL) == names.DISABLED:
        return "opted_out", f"it is labelled {names.LABEL}={names.DISABLED}"
    if spec.get("hostNetwork"):
        return "host_network", (
            "it uses the node's network (hostNetwork: true), which capture must not change; its "
            "traffic is not encrypted by the mesh"
        )
    if (spec.get("os") or {}).get("name") == "windows":
        return "windows", "it runs on Windows; the mesh captures traffic on Linux only"
    return None


def obstacle(pod: Pod, capture: CaptureMode = "init") -> tuple[str, str] | None:
    """(reason, sentence with the way out) of a pod that can not be meshed as it is."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    label = (metadata.get("labels") or {}).get(names.LABEL, names.ENABLED)
    if label != names.ENABLED:
        return "label", (
            f"label {names.LABEL} is {label!r}: use {names.ENABLED}, or {names.DISABLED} to stay "
            "out of the mesh"
        )
    if capture == "node" and spec.get("hostUsers") is False:
        return "user_namespace", (
            "it has a user namespace of its own (hostUsers: false), in which the node's agent and "
            "the sidecar can not tell each other's users: leave hostUsers out, or mesh it with "
            "capture mode init"
        )
    for field, container in _containers(spec):
        name = container.get("name", "")
        if field == "containers" and name in names.OWN:
            return "name", (
                f"container {name} has a name that the mesh needs for its own: rename it"
            )
        if name in names.OWN:
            continue  # replaced by ours
        uid = (container.get("securityContext") or {}).get("runAsUser", _pod_uid(spec))
        if uid == constants.SIDECAR_UID:
            return "uid", (
                f"container {name} runs as uid {uid}, the sidecar's, whose traffic is not "
                "captured: give it another runAsUser"
            )
        for port in container.get("ports") or ():
            if port.get("containerPort") in names.PORTS:
                return "port", (
                    f"container {name} declares port {port['containerPort']}, which the sidecar "
                    "takes: give it another port"
                )
    for volume in spec.get("volumes") or ():
        if volume.get("name") == names.VOLUME and "projected" not in volume:
            return "name", (
                f"volume {names.VOLUME} has a name that the mesh needs for its own: rename it"
            )
    return None


def pod_security(labels: Mapping[str, str], capture: CaptureMode = "init") -> str:
    """A sentence on why a namespace with these labels refuses meshed pods; empty: it does not. In
    capture mode `node` none does.
    """
    level = labels.get(ENFORCE, "")
    if capture == "node" or level not in LEVELS_WITHOUT_INIT:
        return ""
    return (
        f"the namespace enforces Pod Security {level}, which refuses {names.INIT} (NET_ADMIN): "
        "install the mesh with capture.mode=node, where the node's agent does its work, or label "
        f"the namespace {ENFORCE}=privileged, or its pods {names.LABEL}={names.DISABLED}"
    )


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            yield field, container


def _pod_uid(spec: Mapping[str, Any]) -> int | None:
    uid: int | None = (spec.get("securityContext") or {}).get("runAsUser")
    return uid
