"""From service records and Kubernetes Services to registry entries. Pure."""

from collections.abc import Mapping
from functools import partial

from stoq.records.cluster import ClusterService
from stoq.records.meta import Key
from stoq.records.service import ServiceRecord
from stoq.records.workload import Workload
from stoq.registry import Endpoint, ServiceEntry, ServicePort
from stoq_operator.memo import Memo
from stoq_operator.problem import Problem
from stoq_operator.store import Known


def service_entries(
    records: Mapping[Key, Known],
    pods: Mapping[str, Workload],
    vips: Mapping[str, str],
    memo: Memo,
) -> tuple[dict[str, ServiceEntry], dict[Key, Problem]]:
    """The entries of all services, by their keys, and what is wrong with some.

    `pods` are by uid, `vips` the addresses of service records by `<namespace>/<name>`.
    """
    problems: dict[Key, Problem] = {}
    grouped: dict[str, list[Workload]] = {}
    for _, pod in sorted(pods.items()):
        grouped.setdefault(pod.metadata.namespace, []).append(pod)
    by_namespace = {
        place: memo.same(("pods of", place), tuple(found)) for place, found in grouped.items()
    }
    entries: dict[str, ServiceEntry] = {}
    for key, record in records.items():
        entry = None
        if isinstance(record, ClusterService):
            entry = memo.get(key, (record,), partial(_of_cluster, record))
        elif isinstance(record, ServiceRecord):
            name = f"{record.metadata.namespace}/{record.metadata.name}"
            vip = vips.get(name, "")
            behind = _behind(record, records, by_namespace)
            made = memo.get(key, (record, behind, vip), partial(_of_record, record, behind, vip))
            if isinstance(made, Problem):
                problems[key] = made
            elif name in vips:
                entry = made
        if entry is not None:
            entries[entry.key] = entry
    return dict(sorted(entries.items())), problems


def _of_cluster(service: ClusterService) -> ServiceEntry:
    return ServiceEntry(
        name=service.metadata.name,
        namespace=service.metadata.namespace,
        kind="service",
        vips=service.vips,
        ports=service.ports,
        endpoints=service.endpoints,
        affinity=service.affinity,
        local_only=service.local_only,
        prefer=service.prefer,
    )


def _behind(
    record: ServiceRecord,
    records: Mapping[Key, Known],
    pods: Mapping[str, tuple[Workload, ...]],
) -> Known | tuple[Workload, ...] | None:
    """What a record is about beside itself: a Service, or the pods of its namespace."""
    spec, place = record.spec, record.metadata.namespace
    if spec.service_ref is not None:
        return records.get(Key("Service", place, spec.service_ref.name))
    return pods.get(place, ()) if spec.selector is not None else None


def _of_record(
    record: ServiceRecord, behind: Known | tuple[Workload, ...] | None, vip: str
) -> ServiceEntry | Problem:
    spec = record.spec
    place = record.metadata.namespace
    if not isinstance(behind, tuple) and spec.service_ref is not None:
        return _of_reference(record, behind, vip)
    if isinstance(behind, tuple) and spec.selector is not None:
        endpoints = tuple(
            Endpoint(
                pod.spec.addresses[0],
                node=pod.spec.node,
                zone=pod.spec.zone,
                terminating=pod.spec.terminating,
            )
            for pod in behind
            if pod.spec.addresses and pod.spec.ready and spec.selector.selects(pod.metadata.labels)
        )
    else:
        endpoints = tuple(Endpoint(item.address, item.weight) for item in spec.endpoints or ())
    return ServiceEntry(
        name=record.metadata.name,
        namespace=place,
        vips=(vip,),
        ports=tuple(
            ServicePort(item.port, item.target_port or item.port, item.name, item.protocol)
            for item in spec.ports
        ),
        endpoints=endpoints,
        spiffe_ids=spec.spiffe_ids,
        ttl_seconds=spec.ttl_seconds,
    )


def _of_reference(record: ServiceRecord, service: Known | None, vip: str) -> ServiceEntry | Problem:
    """Each of the record's ports leads to a port of the Service, and on to that one's endpoints."""
    spec = record.spec
    assert spec.service_ref is not None
    name = f"Service {record.metadata.namespace}/{spec.service_ref.name}"
    if not isinstance(service, ClusterService):
        return Problem(
            "ServiceNotFound", f"{record.key}: there is no {name}; make it, or mend spec.serviceRef"
        )
    places = {(port.port, port.protocol): at for at, port in enumerate(service.ports)}
    wanted = [(item.target_port or item.port, item.protocol) for item in spec.ports]
    for number, protocol in wanted:
        if (number, protocol) not in places:
            has = ", ".join(str(port) for port, spoken in places if spoken == protocol) or "none"
            return Problem(
                "PortNotFound",
                f"{record.key}: {name} has no {protocol} port {number}, it has "
                f"{has}; set targetPort to one of them, or protocol to that of the port",
            )
    chosen = [places[port] for port in wanted]
    ports = tuple(
        ServicePort(item.port, service.ports[at].target, item.name, item.protocol)
        for item, at in zip(spec.ports, chosen, strict=True)
    )
    return ServiceEntry(
        name=record.metadata.name,
        namespace=record.metadata.namespace,
        vips=(vip,),
        ports=ports,
        endpoints=tuple(_with_targets(endpoint, chosen) for endpoint in service.endpoints),
        spiffe_ids=spec.spiffe_ids,
        ttl_seconds=spec.ttl_seconds,
        affinity=service.affinity,
        local_only=service.local_only,
        prefer=service.prefer,
    )


def _with_targets(endpoint: Endpoint, chosen: list[int]) -> Endpoint:
    """The endpoint as seen through the chosen ports of its Service."""
    if not endpoint.targets:
        return endpoint
    return Endpoint(
        endpoint.address,
        endpoint.weight,
        endpoint.node,
        endpoint.zone,
        endpoint.terminating,
        tuple(endpoint.targets[at] for at in chosen),
    )
