"""Gateways, and who is reached over them, from HopGateways and service records. Pure.

Whoever writes a service record may list any address in it. So a way binds only pods of the
record's own namespace, and addresses that are no pod's; and it leads only to what is behind its
last gateway, which those say who may write HopGateways.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import msgspec

from stoq.records.gateway import HopGateway
from stoq.records.meta import Key
from stoq.records.service import ServiceRecord
from stoq.records.workload import Workload
from stoq.registry import (
    ForwardRule,
    GatewayEntry,
    GatewayReplica,
    ServiceEntry,
    WorkloadEntry,
    service_key,
)
from stoq_operator.memo import Memo
from stoq_operator.problem import Problem
from stoq_operator.store import Known

Ways = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Hops:
    """What gateways change."""

    gateways: Mapping[str, GatewayEntry] = field(default_factory=dict)
    """By the name of their HopGateway."""
    forwards: Mapping[str, tuple[ForwardRule, ...]] = field(default_factory=dict)
    """By the SPIFFE id of whoever lets them pass."""
    workloads: Mapping[str, WorkloadEntry] = field(default_factory=dict)
    """By uid: those with ways, and those that are elsewhere and no pod's."""
    problems: Mapping[Key, Problem] = field(default_factory=dict)


def hops(
    records: Mapping[Key, Known],
    pods: Mapping[str, Workload],
    services: Mapping[str, ServiceEntry],
    workloads: Mapping[str, WorkloadEntry],
    memo: Memo,
) -> Hops:
    """The gateways of `records`, and the ways of service records laid on their endpoints.

    `pods` and `workloads` are by uid.
    """
    written = [record for record in records.values() if isinstance(record, HopGateway)]
    leading = [
        record
        for record in records.values()
        if isinstance(record, ServiceRecord) and record.spec.hops
    ]
    if not written and not leading:
        return Hops()
    problems: dict[Key, Problem] = {}
    written.sort(key=lambda record: record.metadata.name)
    gateways = _gateways(written, pods, workloads, problems)
    forwards = {
        gateways[record.metadata.name].spiffe_id: tuple(
            ForwardRule(rule.source, rule.to, rule.next, rule.origin)
            for rule in record.spec.forwards
        )
        for record in written
        if record.metadata.name in gateways
    }
    leading.sort(key=lambda record: record.key)
    found = _Laid(gateways, workloads, problems)
    for record in leading:
        place = (record.metadata.namespace, record.metadata.name)
        service = services.get(service_key("record", *place))
        if service is not None:
            found.lay(record, service)
    return Hops(
        gateways,
        {
            spiffe_id: memo.same(("forwards", spiffe_id), rules)
            for spiffe_id, rules in forwards.items()
        },
        {uid: memo.same(("behind", uid), entry) for uid, entry in found.entries.items()},
        problems,
    )


def _gateways(
    written: Iterable[HopGateway],
    pods: Mapping[str, Workload],
    workloads: Mapping[str, WorkloadEntry],
    problems: dict[Key, Problem],
) -> dict[str, GatewayEntry]:
    """Identities and addresses name one gateway each: the first one by name."""
    owners: dict[str, str] = {}
    taken: dict[GatewayReplica, str] = {}
    found: dict[str, GatewayEntry] = {}
    for record in written:
        name, spec = record.metadata.name, record.spec
        owner = owners.setdefault(spec.spiffe_id, name)
        if owner != name:
            problems[record.key] = Problem(
                "IdentityTaken",
                f"{record.key}: {spec.spiffe_id} is HopGateway {owner}; gateways are told apart by "
                "their identity, so give each its own service account",
            )
            continue
        if spec.endpoints is None:
            replicas = tuple(_ready(spec.spiffe_id, pods, workloads))
        else:
            replicas = tuple(GatewayReplica(item.address, item.port) for item in spec.endpoints)
        for replica in replicas:
            other = taken.setdefault(replica, name)
            if other != name:
                problems[record.key] = Problem(
                    "AddressTaken",
                    f"{record.key}: {replica.address} port {replica.port} is that of HopGateway "
                    f"{other}; an address belongs to one",
                )
        found[name] = GatewayEntry(
            spiffe_id=spec.spiffe_id,
            replicas=tuple(replica for replica in replicas if taken[replica] == name),
            networks=spec.networks,
        )
    return found


def _ready(
    spiffe_id: str, pods: Mapping[str, Workload], workloads: Mapping[str, WorkloadEntry]
) -> Iterator[GatewayReplica]:
    for uid, entry in sorted(workloads.items()):
        spec = pods[uid].spec
        if entry.spiffe_id == spiffe_id and spec.ready and not spec.terminating:
            yield GatewayReplica(entry.addresses[0], entry.port)


class _Laid:
    """The entries with ways, as records are gone through in order of their keys."""

    def __init__(
        self,
        gateways: Mapping[str, GatewayEntry],
        workloads: Mapping[str, WorkloadEntry],
        problems: dict[Key, Problem],
    ) -> None:
        self.entries: dict[str, WorkloadEntry] = {}
        self._gateways = gateways
        self._problems = problems
        self._owners = {a: entry for entry in workloads.values() for a in entry.addresses}
        self._by: dict[str, tuple[Key, Ways, str]] = {}
        """By address: whose ways they are, and to whom."""

    def lay(self, record: ServiceRecord, service: ServiceEntry) -> None:
        """Lays the ways of a record on its endpoints."""
        ways = []
        for way in record.spec.hops:
            unknown = [name for name in way.gateways if name not in self._gateways]
            for name in unknown:
                self._problem(
                    record,
                    "GatewayNotFound",
                    f"there is no HopGateway {name} that is in force; make it, or mend the name",
                )
            if not unknown:
                ways.append([self._gateways[name] for name in way.gateways])
        if not ways:
            return
        for endpoint in service.endpoints:
            self._lead_to(record, endpoint.address, ways)

    def _lead_to(
        self, record: ServiceRecord, address: str, ways: Iterable[list[GatewayEntry]]
    ) -> None:
        owner = self._owners.get(address)
        if owner is not None and owner.namespace != record.metadata.namespace:
            self._problem(
                record,
                "NotOwn",
                f"{address} is a pod of namespace {owner.namespace}, which alone says how it is "
                "reached; it is dialled directly unless a record there has hops",
            )
            return
        if owner is None and len(record.spec.spiffe_ids) != 1:
            self._problem(
                record,
                "IdentityUnknown",
                f"{address} is no pod of this mesh; name the one identity that it has in "
                "spec.spiffeIds",
            )
            return
        identity = owner.spiffe_id if owner is not None else record.spec.spiffe_ids[0]
        leading = tuple(
            tuple(gateway.spiffe_id for gateway in way)
            for way in ways
            if _is_in(address, way[-1].networks)
            and all(gateway.spiffe_id != identity for gateway in way)
        )
        if not leading:
            self._problem(
                record,
                "NotBehind",
                f"no way leads to {address}: it must be in spec.networks of a way's last gateway, "
                "and be none of the gateways itself",
            )
            return
        first = self._by.setdefault(address, (record.key, leading, identity))
        if first[1:] != (leading, identity):
            self._problem(
                record,
                "HopsDiffer",
                f"{address} is reached as {first[0]} says, which differs; an address has the same "
                "ways and the same identity for all",
            )
        elif first[0] == record.key:
            self._enter(record, address, owner, leading, identity)

    def _enter(
        self,
        record: ServiceRecord,
        address: str,
        owner: WorkloadEntry | None,
        leading: Ways,
        identity: str,
    ) -> None:
        if owner is not None:
            entry = msgspec.structs.replace(owner, via=leading)
        else:
            name = f"{record.metadata.name}@{address}"
            entry = WorkloadEntry(
                uid=f"{record.metadata.namespace}/{name}",
                # No pod can have such a name, or be asked for by it.
                name=name,
                namespace=record.metadata.namespace,
                spiffe_id=identity,
                addresses=(address,),
                via=leading,
            )
        self.entries[entry.uid] = entry

    def _problem(self, record: ServiceRecord, reason: str, text: str) -> None:
        self._problems.setdefault(record.key, Problem(reason, f"{record.key}: spec.hops: {text}"))


def _is_in(address: str, networks: Iterable[str]) -> bool:
    found = ip_address(address)
    return any(found in ip_network(network) for network in networks)
