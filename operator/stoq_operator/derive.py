"""From the records as written to the entries that sidecars get. Pure.

What can only be seen with all records side by side is found here: it becomes a problem that is
reported, and the rest goes on without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from stoq.records.access import AccessPolicy
from stoq.records.mesh import MeshConfig, MeshConfigSpec
from stoq.records.meta import Key
from stoq.records.policy import TransportPolicy, effective, lanes
from stoq.records.workload import Workload
from stoq.registry import (
    ForwardRule,
    GatewayEntry,
    MeshEntry,
    MirrorRule,
    ServiceEntry,
    WorkloadEntry,
)
from stoq.rules import PortModes
from stoq_operator import crypto
from stoq_operator.access import rules_for
from stoq_operator.adaptation import rule
from stoq_operator.federation import Federation, federation
from stoq_operator.hops import hops
from stoq_operator.memo import Memo
from stoq_operator.mirrors import Mirrors, mirrors
from stoq_operator.overruled import overruled
from stoq_operator.problem import Problem
from stoq_operator.services import service_entries
from stoq_operator.store import Known

Policy = TypeVar("Policy", TransportPolicy, AccessPolicy)


@dataclass(frozen=True, slots=True)
class Derived:
    """All entries, and what could not become one."""

    workloads: Mapping[str, WorkloadEntry] = field(default_factory=dict)
    """By uid; beside the pods what gateways lead to and is elsewhere."""
    services: Mapping[str, ServiceEntry] = field(default_factory=dict)
    """By `ServiceEntry.key`."""
    meshes: Mapping[str, MeshEntry] = field(default_factory=dict)
    """What holds for each pod, by uid."""
    gateways: Mapping[str, GatewayEntry] = field(default_factory=dict)
    """By the name of their HopGateway."""
    federation: Federation = field(default_factory=Federation)
    """Whom to trust beside our own roots."""
    problems: Mapping[Key, Problem] = field(default_factory=dict)
    """By the record that has it."""


def mesh_of(records: Mapping[Key, Known]) -> MeshConfig | None:
    """The mesh's configuration: the first by name."""
    found = [record for record in records.values() if isinstance(record, MeshConfig)]
    return min(found, key=lambda record: record.metadata.name, default=None)


def derive(
    records: Mapping[Key, Known],
    mesh: MeshConfigSpec,
    vips: Mapping[str, str],
    memo: Memo | None = None,
) -> Derived:
    """The entries of `records`; `vips` are the addresses of service records, by
    `<namespace>/<name>`: one without an address has no entry.

    With the same `memo` time after time it costs what has changed since the time before.
    """
    memo = memo or Memo()
    memo.begin()
    mesh = memo.same("mesh", mesh)
    problems = _surplus_meshes(records)
    pods = _pods(records, problems)
    services, found = service_entries(records, pods, vips, memo)
    problems.update(found)
    transport = _by_namespace(records, TransportPolicy, memo)
    asked = _Asked(
        _zones(services), _lanes(pods, transport), crypto.required(mesh, pods, transport)
    )
    workloads = _workloads(pods, asked, mesh.trust_domain, problems, memo)
    access = _by_namespace(records, AccessPolicy, memo)
    labels = {uid: pod.metadata.labels for uid, pod in pods.items()}
    mirrored = mirrors(records, transport, services, workloads, labels)
    everyones = memo.same("mirrors", mirrored.everyones)
    led = hops(records, pods, services, workloads, memo)
    gateways = memo.same("gateways", tuple(led.gateways.values()))
    meshes = {}
    for uid, entry in workloads.items():
        inputs = (
            mesh,
            transport.get(entry.namespace, ()),
            access.get(entry.namespace, ()),
            entry,
            labels[uid],
            _followed(uid, everyones, mirrored, memo),
            memo.same(("mirrors from", uid), mirrored.expected.get(uid)),
            gateways,
            led.forwards.get(entry.spiffe_id),
        )
        meshes[uid] = memo.get(("mesh of", uid), inputs, partial(mesh_entry, *inputs))
    problems.update(overruled(transport, tuple(pods.values())))
    problems.update(mirrored.problems)
    problems.update(led.problems)
    config = memo.same("config", mesh_of(records))
    abroad = memo.get("federation", (config,), partial(federation, config))
    if config is not None and abroad.problem is not None:
        problems[config.key] = abroad.problem
    return Derived({**workloads, **led.workloads}, services, meshes, led.gateways, abroad, problems)


def mesh_entry(
    mesh: MeshConfigSpec,
    transport: Sequence[TransportPolicy],
    access: Sequence[AccessPolicy],
    own: WorkloadEntry,
    labels: Mapping[str, str],
    mirrors: tuple[MirrorRule, ...] = (),
    mirrors_from: tuple[str, ...] | None = None,
    gateways: tuple[GatewayEntry, ...] = (),
    forwards: tuple[ForwardRule, ...] | None = None,
) -> MeshEntry:
    """What holds for the workload `own`, of whose namespace the policies are."""
    found = effective(mesh, transport, own.namespace, labels)
    return MeshEntry(
        trust_domain=mesh.trust_domain,
        profile=mesh.profile,
        inbound=found.inbound,
        outbound=found.outbound,
        ports=tuple(
            PortModes(port=one.port, inbound=one.inbound, outbound=one.outbound)
            for one in found.ports
        ),
        exempt_sources=found.exempt_sources,
        probe_ports=found.probe_ports,
        ipv6_only=found.ipv6_only,
        node_local=found.node_local,
        adaptation=rule(found.adapting),
        crypto=crypto.rule(found),
        access=rules_for(access, labels),
        mirrors=mirrors,
        mirrors_from=mirrors_from,
        gateways=gateways,
        forwards=forwards or (),
        own=own,
    )


def _followed(
    uid: str, everyones: tuple[MirrorRule, ...], mirrored: Mirrors, memo: Memo
) -> tuple[MirrorRule, ...]:
    """The mirrors that a workload follows; the same object for all that follow the same."""
    own = mirrored.own.get(uid)
    return memo.same(("mirrors of", uid), everyones + own) if own else everyones


def _by_namespace(
    records: Mapping[Key, Known], kind: type[Policy], memo: Memo
) -> dict[str, tuple[Policy, ...]]:
    found: dict[str, list[Policy]] = {}
    for record in records.values():
        if isinstance(record, kind):
            found.setdefault(record.metadata.namespace, []).append(record)
    return {place: memo.same((kind, place), tuple(policies)) for place, policies in found.items()}


def _surplus_meshes(records: Mapping[Key, Known]) -> dict[Key, Problem]:
    used = mesh_of(records)
    return {
        record.key: Problem(
            "NotUsed", f"{record.key} is not used: {used.key} comes first; keep one MeshConfig"
        )
        for record in records.values()
        if isinstance(record, MeshConfig) and used is not None and record is not used
    }


def _pods(records: Mapping[Key, Known], problems: dict[Key, Problem]) -> dict[str, Workload]:
    """The pods by uid. Those that stay come first: what they hold is not a leaving pod's."""
    found = [
        (pod.spec.terminating, key, pod)
        for key, pod in records.items()
        if isinstance(pod, Workload)
    ]
    found.sort(key=lambda item: item[:2])
    pods: dict[str, Workload] = {}
    for _, _, pod in found:
        other = pods.setdefault(pod.uid, pod)
        if other is not pod:
            problems[pod.key] = Problem(
                "UidTaken", f"uid {pod.uid} is that of {other.key}; give it its own"
            )
    return pods


def _zones(services: Mapping[str, ServiceEntry]) -> dict[str, str]:
    """The zones of nodes, as far as endpoints tell."""
    return {
        endpoint.node: endpoint.zone
        for service in services.values()
        for endpoint in service.endpoints
        if endpoint.node and endpoint.zone
    }


def _lanes(
    pods: Mapping[str, Workload], transport: Mapping[str, tuple[TransportPolicy, ...]]
) -> dict[str, int]:
    """The lanes of the pods, by uid, that policies give some."""
    asking = {
        place: sharding
        for place, policies in transport.items()
        if (sharding := [policy for policy in policies if policy.spec.shard is not None])
    }
    return {
        uid: lanes(asking[pod.metadata.namespace], pod.metadata.namespace, pod.metadata.labels)
        for uid, pod in pods.items()
        if pod.metadata.namespace in asking
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """What entries of pods have from elsewhere."""

    zones: Mapping[str, str]
    """By node."""
    lanes: Mapping[str, int]
    """By uid, as the next."""
    crypto: Mapping[str, str]


def _workloads(
    pods: Mapping[str, Workload],
    asked: _Asked,
    trust_domain: str,
    problems: dict[Key, Problem],
    memo: Memo,
) -> dict[str, WorkloadEntry]:
    """One entry per pod. An address belongs to one pod: the identity required there must never
    depend on who asks first.
    """
    owners: dict[str, Workload] = {}
    entries: dict[str, WorkloadEntry] = {}
    for uid, pod in pods.items():
        taken = [address for address in pod.spec.addresses if address in owners]
        for address in taken:
            problems[pod.key] = Problem(
                "AddressTaken",
                f"address {address} is that of {owners[address].key}; an address belongs to one",
            )
        free = pod.spec.addresses
        if taken:
            free = tuple(address for address in free if address not in taken)
        for address in free:
            owners[address] = pod
        if free:
            zone = asked.zones.get(pod.spec.node, "")
            required = asked.crypto.get(uid, "")
            inputs = (pod, free, zone, asked.lanes.get(uid, 0), required, trust_domain)
            entries[uid] = memo.get(("workload", uid), inputs, partial(_workload, *inputs))
    return entries


def _workload(
    pod: Workload,
    addresses: tuple[str, ...],
    zone: str,
    connections: int,
    profile: str,
    trust_domain: str,
) -> WorkloadEntry:
    return WorkloadEntry(
        uid=pod.uid,
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        spiffe_id=pod.spiffe_id(trust_domain),
        addresses=addresses,
        node=pod.spec.node,
        zone=pod.spec.zone or zone,
        lanes=connections,
        crypto=profile,
    )
