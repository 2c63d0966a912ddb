"""What a cluster has and no manifest of ours says: Services and namespaces, as far as we read them.

They are made from the API server's objects, which the server has checked, and live in memory only.
"""

from typing import ClassVar, Literal

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


class Namespace(Record, frozen=True, kw_only=True):
    """A namespace; its labels say whether it is enrolled."""

    KIND: ClassVar[str] = "Namespace"
    NAMESPACED: ClassVar[bool] = False
