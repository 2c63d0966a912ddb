"""Every setting of the operator in a cluster, in groups; nothing else reads configuration."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stoq import constants
from stoq.injection.config import capture_mode
from stoq.program import Log
from stoq.settings.kinds import text
from stoq.settings.options import SettingsError, load, option
from stoq.spiffe import SpiffeError, check_trust_domain
from stoq_operator.settings import Ca, Listen, Mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """Where the operator is in its cluster."""

    namespace: str = option(
        constants.SYSTEM_NAMESPACE, text(), "holds the Secrets and the Lease of the operator"
    )
    identity: str = option(
        "", text(), "names this replica in the Lease; empty: the host name, which is the pod's"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inject:
    """What the webhook does to pods, as far as it matters here."""

    capture: Literal["init", "node"] = option(
        "init", capture_mode(), "in mode init a namespace's Pod Security may refuse stoq-init"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """All settings."""

    kubernetes: Kubernetes
    listen: Listen
    mesh: Mesh
    ca: Ca
    inject: Inject
    log: Log

    @property
    def identity(self) -> str:
        """What names this replica."""
        return self.kubernetes.identity or socket.gethostname()


def read(environment: Mapping[str, str]) -> ClusterSettings:
    """Settings from `STOQ_<GROUP>_<OPTION>` variables. Raises `SettingsError`."""
    settings = load(ClusterSettings, "", environment, "")
    try:
        check_trust_domain(settings.mesh.trust_domain)
    except SpiffeError as error:
        raise SettingsError(f"STOQ_MESH_TRUST_DOMAIN: {error}") from error
    return settings
