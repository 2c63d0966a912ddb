"""From the records as written to the entries that sidecars get. Pure.

What can only be seen with all records side by side is found here: it becomes a problem that is
reported, and the rest goes on without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stoq.records.manifest import AnyRecord
from stoq.records.mesh import MeshConfig, MeshConfigSpec
from stoq.records.meta import Key
from stoq.records.policy import TransportPolicy, effective
from stoq.records.service import ServiceRecord
from stoq.records.workload import Workload
from stoq.registry import Endpoint, MeshEntry, ServiceEntry, ServicePort, WorkloadEntry
from stoq_operator.vip import RangeFull, allocate


@dataclass(frozen=True, slots=True)
class Derived:
    """All entries, and what could not become one."""

    workloads: Mapping[str, WorkloadEntry] = field(default_factory=dict)
    """By uid."""
    services: Mapping[str, ServiceEntry] = field(default_factory=dict)
    """By `<namespace>/<name>`."""
    meshes: Mapping[str, MeshEntry] = field(default_factory=dict)
    """What holds for each workload, by uid."""
    vips: Mapping[str, str] = field(default_factory=dict)
    """Addresses given, by service; to be remembered."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """By the record's key as text."""


def mesh_of(records: Mapping[Key, AnyRecord]) -> MeshConfig | None:
    """The mesh's configuration: the first by name."""
    found = [record for record in records.values() if isinstance(record, MeshConfig)]
    return min(found, key=lambda record: record.metadata.name, default=None)


def derive(
    records: Mapping[Key, AnyRecord], mesh: MeshConfigSpec, vips: Mapping[str, str]
) -> Derived:
    """The entries of `records`; `vips` are the addresses given before."""
    problems = _surplus_meshes(records)
    pods = _pods(records, problems)
    workloads = _workloads(pods, mesh.trust_domain, problems)
    given, services = _services(records, pods, mesh.vip_range, vips, problems)
    policies: dict[str, list[TransportPolicy]] = {}
    for record in records.values():
        if isinstance(record, TransportPolicy):
            policies.setdefault(record.metadata.namespace, []).append(record)
    meshes = {
        uid: mesh_entry(mesh, policies.get(entry.namespace, []), entry, pods[uid].metadata.labels)
        for uid, entry in workloads.items()
    }
    return Derived(workloads, services, meshes, given, problems)


def mesh_entry(
    mesh: MeshConfigSpec,
    policies: list[TransportPolicy],
    own: WorkloadEntry | None,
    labels: Mapping[str, str],
) -> MeshEntry:
    """What holds for the workload `own`; for `None`, what holds without any policy."""
    found = effective(mesh, policies, own.namespace if own else "", labels)
    return MeshEntry(
        trust_domain=mesh.trust_domain,
        profile=mesh.profile,
        inbound=found.inbound,
        outbound=found.outbound,
        exempt_sources=found.exempt_sources,
        probe_ports=found.probe_ports,
        own=own,
    )


def _surplus_meshes(records: Mapping[Key, AnyRecord]) -> dict[str, str]:
    used = mesh_of(records)
    return {
        str(record.key): f"{record.key} is not used: {used.key} comes first; keep one MeshConfig"
        for record in records.values()
        if isinstance(record, MeshConfig) and used is not None and record is not used
    }


def _pods(records: Mapping[Key, AnyRecord], problems: dict[str, str]) -> dict[str, Workload]:
    pods: dict[str, Workload] = {}
    for key, record in sorted(records.items()):
        if isinstance(record, Workload):
            other = pods.setdefault(record.uid, record)
            if other is not record:
                problems[str(key)] = f"uid {record.uid} is that of {other.key}; give it its own"
    return pods


def _workloads(
    pods: Mapping[str, Workload], trust_domain: str, problems: dict[str, str]
) -> dict[str, WorkloadEntry]:
    """One entry per pod. An address belongs to one pod: the identity required there must never
    depend on who asks first.
    """
    owners: dict[str, Workload] = {}
    entries: dict[str, WorkloadEntry] = {}
    for uid, pod in pods.items():
        taken = [address for address in pod.spec.addresses if address in owners]
        for address in taken:
            problems[str(pod.key)] = (
                f"address {address} is that of {owners[address].key}; an address belongs to one"
            )
        free = tuple(address for address in pod.spec.addresses if address not in taken)
        owners.update((address, pod) for address in free)
        if free:
            entries[uid] = WorkloadEntry(
                uid=uid,
                name=pod.metadata.name,
                namespace=pod.metadata.namespace,
                spiffe_id=pod.spiffe_id(trust_domain),
                addresses=free,
            )
    return entries


def _services(
    records: Mapping[Key, AnyRecord],
    pods: Mapping[str, Workload],
    vip_range: str,
    vips: Mapping[str, str],
    problems: dict[str, str],
) -> tuple[dict[str, str], dict[str, ServiceEntry]]:
    found = {
        f"{record.metadata.namespace}/{record.metadata.name}": record
        for record in records.values()
        if isinstance(record, ServiceRecord)
    }
    try:
        given = allocate(vip_range, vips, found)
    except RangeFull as full:
        problems["MeshConfig"] = str(full)
        given = {key: vip for key, vip in vips.items() if key in found}
    entries = {
        key: ServiceEntry(
            name=record.metadata.name,
            namespace=record.metadata.namespace,
            vips=(given[key],),
            ports=tuple(
                ServicePort(port.port, port.target_port or port.port, port.name)
                for port in record.spec.ports
            ),
            endpoints=_endpoints(record, pods),
            spiffe_ids=record.spec.spiffe_ids,
        )
        for key, record in sorted(found.items())
        if key in given
    }
    return given, entries


def _endpoints(record: ServiceRecord, pods: Mapping[str, Workload]) -> tuple[Endpoint, ...]:
    spec = record.spec
    if spec.selector is None:
        return tuple(Endpoint(item.address, item.weight) for item in spec.endpoints or ())
    return tuple(
        Endpoint(pod.spec.addresses[0])
        for _, pod in sorted(pods.items())
        if pod.metadata.namespace == record.metadata.namespace
        and spec.selector.selects(pod.metadata.labels)
    )
