"""What a cluster has and no manifest of ours says: Services and namespaces, as far as we read them.

They are made from the API server's objects, which the server has checked, and live in memory only.
"""

from typing import ClassVar, Final, Literal

from stoq.records.meta import Record
from stoq.registry import Endpoint, ServicePort


class ClusterService(Record, frozen=True, kw_only=True):
    """A Kubernetes Service with the endpoints of all its EndpointSlices."""

    KIND: ClassVar[str] = "Service"

    vips: tuple[str, ...] = ()
    """Its cluster IPs; empty: headless."""
    ports: tuple[ServicePort, ...]
    """A `target` of 0 leads nowhere: no endpoint has the port."""
    endpoints: tuple[Endpoint, ...] = ()
    affinity: bool = False
    local_only: bool = False
    prefer: Literal["", "zone", "node"] = ""


NAMESPACE_CONDITION: Final = "stoq.dev/PodsAdmitted"
"""False on an enrolled namespace in which no meshed pod can start; elsewhere it is not there."""


class Namespace(Record, frozen=True, kw_only=True):
    """A namespace; its labels say whether it is enrolled. Of its conditions only ours is read."""

    KIND: ClassVar[str] = "Namespace"
    NAMESPACED: ClassVar[bool] = False
