"""What the checks go by: objects as the API server gave them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stoq.injection.config import CaptureMode

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Absent objects are None or missing; `denied` has what could not be read, and why."""

    version: Object
    """Of the API server, its `/version`."""
    crds: Mapping[str, Object] = field(default_factory=dict)
    """Those of the group stoq.dev, by name."""
    webhook: Object | None = None
    """The MutatingWebhookConfiguration."""
    serving_pem: bytes = b""
    """The webhook's certificate, without its key."""
    deployment: Object | None = None
    lease: Object | None = None
    agents: Object | None = None
    """The DaemonSet of the node agents."""
    capabilities: Sequence[Object] = ()
    """NodeCapabilities."""
    meshes: Sequence[Object] = ()
    """MeshConfigs."""
    enrolled: Sequence[Object] = ()
    """Namespaces that have the label, and were asked about."""
    bundles: Mapping[str, bytes] = field(default_factory=dict)
    """PEM of the trust bundle, by enrolled namespace."""
    pods: Sequence[Object] = ()
    """Of the enrolled namespaces."""
    network_policies: Sequence[Object] = ()
    """Of the enrolled namespaces and of the control plane's."""
    nodes: Sequence[Object] = ()
    rights: Mapping[str, bool] = field(default_factory=dict)
    """What the user may do, for an installation: `verb resource` to whether."""
    denied: Sequence[str] = ()

    @property
    def capture(self) -> CaptureMode:
        """What the webhook, as it is deployed, does to pods."""
        return "node" if self._told("STOQ_INJECT_CAPTURE", "node") else "init"

    @property
    def capture_udp(self) -> bool:
        """Whether it has the UDP of pods captured."""
        return self.capture == "node" and self._told("STOQ_INJECT_CAPTURE_UDP", "true")

    def _told(self, name: str, value: str) -> bool:
        spec = ((self.deployment or {}).get("spec") or {}).get("template", {}).get("spec") or {}
        return any(
            (variable["name"], variable.get("value")) == (name, value)
            for container in spec.get("containers") or ()
            for variable in container.get("env") or ()
        )


def name(item: Object) -> str:
    """`<namespace>/<name>`, or the name of what has no namespace."""
    metadata = item["metadata"]
    place = metadata.get("namespace", "")
    return f"{place}/{metadata['name']}" if place else str(metadata["name"])


def labels(item: Object) -> Mapping[str, str]:
    """The labels of an object."""
    return item["metadata"].get("labels") or {}


def condition(item: Object, kind: str) -> Object | None:
    """The condition of that type in the status."""
    for found in (item.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            condition: Object = found
            return condition
    return None


def few(names: Sequence[str], most: int = 5) -> str:
    """A list that stays short."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
