"""What the mesh, not the pod, decides about injected containers."""

from dataclasses import dataclass
from typing import Final, Literal

from stoq import constants
from stoq.records.crypto import Profile
from stoq.settings.kinds import Kind

CONTROL_ADDRESS: Final = (
    f"{constants.OPERATOR_SERVICE_ACCOUNT}.{constants.SYSTEM_NAMESPACE}.svc"
    f":{constants.CONTROL_PORT}"
)
"""Where registry and certificate authority are in a cluster."""


CaptureMode = Literal["init", "node"]
"""Who programs capture in a pod: a container of it, stoq-init, or the agent of its node."""

MODES: Final[tuple[CaptureMode, ...]] = ("init", "node")


def capture_mode() -> Kind[CaptureMode]:
    """A setting of that."""

    def parse(value: str) -> CaptureMode:
        for mode in MODES:
            if mode == value:
                return mode
        raise ValueError

    return Kind("one of " + ", ".join(MODES), parse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Resources are Kubernetes quantities; empty: none is set."""

    sidecar_image: str
    init_image: str
    pull_policy: str = "IfNotPresent"
    trust_domain: str = "cluster.local"
    profile: Profile = "hybrid-1024"
    """What sidecars begin with; then they do as the mesh says."""
    control_address: str = CONTROL_ADDRESS
    capture: CaptureMode = "init"
    capture_udp: bool = False
    """Applications' UDP is captured too, where agents capture."""
    ipv6_only: bool = False
    discovery_signed: str = "prefer"
    """What sidecars make of a registry that signs nothing: `require` believes none of it."""
    log_level: str = "info"
    log_format: str = "json"
    log_access: str = "json"
    cpu_request: str = "10m"
    memory_request: str = "64Mi"
    cpu_limit: str = ""
    memory_limit: str = ""
