"""Service records for tests of the resolver."""

from typing import Any

from stoq.registry import (
    Endpoint,
    MeshEntry,
    RegistryState,
    ServiceEntry,
    ServicePort,
    TrustEntry,
)


def entry(name: str = "db", namespace: str = "shop", **more: Any) -> ServiceEntry:
    """A record with one named port and two virtual addresses unless told otherwise."""
    settings: dict[str, Any] = {
        "vips": ("fd53::1", "240.0.0.1"),
        "ports": (ServicePort(5432, 5432, "pg"),),
        "endpoints": (Endpoint("fd00::4"), Endpoint("fd00::5")),
        "ttl_seconds": 7,
    }
    return ServiceEntry(name=name, namespace=namespace, **(settings | more))


def state(*entries: ServiceEntry, **mesh: Any) -> RegistryState:
    """What a registry with these entries says."""
    return RegistryState(
        epoch="e",
        version=1,
        mesh=MeshEntry(trust_domain="td", **mesh),
        trust=TrustEntry(roots=()),
        workloads={},
        services={one.key: one for one in entries},
    )
