"""Services with their EndpointSlices."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from stoq.records.cluster import ClusterService
from stoq.registry import Endpoint, ServicePort
from stoq_kube.meta import Raw, metadata

SERVICE_NAME: Final = "kubernetes.io/service-name"
"""The label by which a slice names its Service."""

_READ: Final = (
    "type", "clusterIPs", "ports", "sessionAffinity", "internalTrafficPolicy", "trafficDistribution"
)  # fmt: skip

Protocol = Literal["TCP", "UDP"]

NOWHERE: Final = 0
"""The target of a port that an endpoint lacks."""


class SlicePort(NamedTuple):
    """A port of a slice's endpoints, by the name it has in the Service."""

    name: str
    protocol: str
    number: int


class SliceEndpoint(NamedTuple):
    """An endpoint of a slice, as far as we read it."""

    address: str
    node: str
    zone: str
    terminating: bool
    pod: str
    """Uid of the pod that it is, if it is one."""


class Slice(NamedTuple):
    """An EndpointSlice, reduced."""

    service: str
    """Name of the Service, of the same namespace."""
    ports: tuple[SlicePort, ...]
    endpoints: tuple[SliceEndpoint, ...]


def reduce_slice(raw: Raw) -> Slice | None:
    """The slice; `None` for one of no Service, or of host names.

    Endpoints that serve are kept, also while they terminate: those that do not are never used.
    """
    service = (raw["metadata"].get("labels") or {}).get(SERVICE_NAME, "")
    if not service or raw.get("addressType") not in {"IPv4", "IPv6"}:
        return None
    return Slice(
        service,
        tuple(
            SlicePort(item.get("name") or "", item.get("protocol") or "TCP", item["port"])
            for item in raw.get("ports") or ()
            if item.get("port")
        ),
        tuple(
            SliceEndpoint(
                item["addresses"][0],
                item.get("nodeName") or "",
                item.get("zone") or "",
                bool(conditions.get("terminating")),
                _pod(item.get("targetRef") or {}),
            )
            for item in raw.get("endpoints") or ()
            if item.get("addresses") and _serves(conditions := item.get("conditions") or {})
        ),
    )


def _pod(target: Raw) -> str:
    return target.get("uid") or "" if target.get("kind") == "Pod" else ""


def _serves(conditions: Raw) -> bool:
    """`serving` is `ready` also for those that terminate; nothing said means ready (KEP-1672)."""
    for name in ("serving", "ready"):
        if conditions.get(name) is not None:
            return bool(conditions[name])
    return True


def reduce_service(raw: Raw) -> Raw:
    """The parts of a Service that `cluster_service` reads."""
    found = raw["metadata"]
    return {
        "metadata": {name: found[name] for name in ("name", "namespace", "uid") if name in found},
        "spec": {name: raw["spec"][name] for name in _READ if name in raw["spec"]},
    }


def cluster_service(raw: Raw, slices: Iterable[Slice]) -> ClusterService | None:
    """The Service with the endpoints of `slices`; `None` for an ExternalName, which is a name in
    the cluster's DNS and no more.
    """
    spec = raw["spec"]
    if spec.get("type") == "ExternalName":
        return None
    slices = tuple(slices)
    ports = tuple(_ports(spec, slices))
    return ClusterService(
        metadata=metadata(raw),
        vips=tuple(ip for ip in spec.get("clusterIPs") or () if ip and ip != "None"),
        ports=ports,
        endpoints=_endpoints(ports, slices),
        affinity=spec.get("sessionAffinity") == "ClientIP",
        local_only=spec.get("internalTrafficPolicy") == "Local",
        prefer=_prefer(spec.get("trafficDistribution")),
    )


def _prefer(distribution: str | None) -> Literal["", "zone", "node"]:
    match distribution:
        case "PreferSameNode":
            return "node"
        case "PreferSameZone" | "PreferClose":
            return "zone"
        case _:
            return ""


def _ports(spec: Raw, slices: tuple[Slice, ...]) -> Iterable[ServicePort]:
    """Ports with the target that most endpoints have: a named target port is a number only in the
    slices. Where no endpoint has one it does not matter.
    """
    for item in spec.get("ports") or ():
        protocol: Protocol
        match item.get("protocol") or "TCP":
            case "TCP":
                protocol = "TCP"
            case "UDP":
                protocol = "UDP"
            case _:
                continue
        name = item.get("name") or ""
        counts: dict[int, int] = {}
        for part in slices:
            number = _number(part, name, protocol)
            if number != NOWHERE:
                counts[number] = counts.get(number, 0) + len(part.endpoints)
        target = max(counts, key=lambda number: (counts[number], -number), default=NOWHERE)
        declared = item.get("targetPort")
        if target == NOWHERE:
            target = declared if isinstance(declared, int) else item["port"]
        yield ServicePort(item["port"], target, name, protocol)


def _number(part: Slice, name: str, protocol: str) -> int:
    return next(
        (port.number for port in part.ports if (port.name, port.protocol) == (name, protocol)),
        NOWHERE,
    )


def _endpoints(ports: tuple[ServicePort, ...], slices: tuple[Slice, ...]) -> tuple[Endpoint, ...]:
    """Each address once, in order: a controller may list one in two slices while it moves it."""
    usual = tuple(port.target for port in ports)
    found: dict[str, Endpoint] = {}
    for part in slices:
        own = tuple(_number(part, port.name, port.protocol) for port in ports)
        if ports and not any(own):
            continue
        for item in part.endpoints:
            made = Endpoint(
                item.address,
                1,
                item.node,
                item.zone,
                item.terminating,
                () if own == usual else own,
            )
            known = found.get(item.address)
            if known is None or (known.terminating and not made.terminating):
                found[item.address] = made
    return tuple(endpoint for _, endpoint in sorted(found.items()))
