"""The engine's routing table from what the registry said. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import msgspec

from stoq.capture.plan import Address
from stoq.records.policy import MAX_LANES, MIN_LANES
from stoq.registry import (
    AccessRule,
    Endpoint,
    ForwardRule,
    MirrorRule,
    RegistryState,
    ServiceEntry,
    WorkloadEntry,
)
from stoq.rules import PortModes
from stoq_sidecar.choice import Place, usable
from stoq_sidecar.kept import Kept
from stoq_sidecar.ways import Gateway, Here, Ways, gateways

T = TypeVar("T")


class Peer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A meshed pod as the engine needs it."""

    uid: str
    name: str
    namespace: str
    spiffe_id: str
    addresses: tuple[str, ...]
    port: int
    via: Ways = ()
    """Ways over gateways, SPIFFE ids; empty: it is dialled directly."""
    lanes: int = 0
    """STOQ connections that a flow to it may have; 0: one."""


class Port(msgspec.Struct, frozen=True, omit_defaults=True):
    """A port of a virtual address and where it leads to."""

    port: int
    target: int
    protocol: Literal["tcp", "udp"] = "tcp"


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """An address behind a virtual one."""

    address: str
    weight: int
    targets: tuple[int, ...] = ()
    """Its own port for each of the service's; empty: the service's targets."""


class Mirror(msgspec.Struct, frozen=True):
    """A service that gets copies, by one of its virtual addresses."""

    vip: str
    share: int


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Virtual addresses and what is behind them."""

    name: str
    namespace: str
    vips: tuple[str, ...]
    ports: tuple[Port, ...]
    endpoints: tuple[Target, ...]
    spiffe_ids: tuple[str, ...]
    mirrors: tuple[Mirror, ...] = ()


class Own(msgspec.Struct, frozen=True):
    """The workload that the table belongs to."""

    name: str
    namespace: str
    addresses: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document that the engine reads (`stoq_core::table`)."""

    version: int
    own: Own
    inbound: str
    outbound: str
    ports: tuple[PortModes, ...] = ()
    workloads: tuple[msgspec.Raw, ...]
    """Of `Peer`."""
    services: tuple[msgspec.Raw, ...]
    """Of `Service`."""
    exempt_sources: tuple[str, ...]
    probe_ports: tuple[int, ...]
    access: tuple[AccessRule, ...]
    ipv6_only: bool
    mirrors_from: tuple[str, ...] | None = None
    """Whose copies it takes; empty: everyone's; None: nobody's."""
    gateways: tuple[Gateway, ...] = ()
    """Those that it may dial."""
    forwards: tuple[ForwardRule, ...] = ()
    """What it lets pass as a gateway."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What this pod knows of itself. `node` is for a registry that does not say; probes from
    `probe_sources` to `probe_ports` are let in beside those of the registry. `inbound` and
    `outbound` win over the registry's, at every port; empty: they do not. Without `copies` none are
    sent or taken, whatever the registry says of mirrors.
    """

    name: str
    namespace: str
    addresses: tuple[Address, ...]
    node: str = ""
    probe_sources: tuple[Address, ...] = ()
    probe_ports: tuple[int, ...] = ()
    inbound: str = ""
    outbound: str = ""
    copies: bool = True


Beside = tuple[tuple[str, ...], tuple[Mirror, ...], tuple[WorkloadEntry | None, ...]]
"""On what a service depends beside itself: the virtual addresses that are left to it, its copies,
and whose the addresses of its endpoints are where it names who may serve."""


class Parts:
    """The encoded parts of the last table of one pod."""

    def __init__(self) -> None:
        self.workloads = Kept[WorkloadEntry, Ways]()
        self.services = Kept[ServiceEntry, Beside]()


def table(
    state: RegistryState,
    pod: Pod,
    retired: Sequence[WorkloadEntry] = (),
    parts: Parts | None = None,
) -> str:
    """The table document (JSON) for `pod`. With the `parts` of its last one what has not changed is
    taken from there.

    Addresses of `retired` workloads are still theirs, where they are nobody else's.

    The addresses are the pod's own knowledge, not the registry's: only what is really configured
    here may be forwarded to. Two pods that claim one address are a race in the registry (the
    address of a deleted pod given to a new one): the later entry in the order of uids is left
    out rather than refusing the whole table, so one conflict cannot stop all updates.
    """
    workloads = _without_conflicts(state.workloads.values())
    owner = {address: peer for peer in workloads for address in peer.addresses}
    here = _place(state, pod)
    own = tuple(str(address) for address in pod.addresses)
    taken = {*owner, *own}
    gone = tuple(entry for entry in retired if taken.isdisjoint(entry.addresses))
    taken = {*owner, *(address for entry in gone for address in entry.addresses)}
    reached: dict[str, tuple[str, ...]] = {}
    for key in sorted(state.services):
        vips = tuple(vip for vip in dict.fromkeys(state.services[key].vips) if vip not in taken)
        taken.update(vips)
        if vips:
            reached[key] = vips
    parts = parts or Parts()
    parts.services.begin(here)
    parts.workloads.begin()
    mirrors = _mirrors(state.mesh.mirrors if pod.copies else (), reached)

    def made(entry: ServiceEntry, beside: Beside) -> Service:
        vips, copied, _ = beside
        endpoints = usable(entry, here, partial(_may_serve, entry, owner))
        return _service(entry, vips, endpoints, copied)

    services = []
    for key, vips in reached.items():
        entry = state.services[key]
        owners = tuple(owner.get(e.address) for e in entry.endpoints) if entry.spiffe_ids else ()
        beside = (vips, mirrors.get(key, ()), owners)
        services.append(parts.services.part(key, entry, beside, made))
    seen = Here(state.mesh, pod.addresses)
    peers = []
    for workload in (*workloads, *gone):
        via = seen.ways(workload)
        peers.append(parts.workloads.part(workload.uid, workload, via, _peer))
    document = Table(
        version=state.version,
        own=Own(pod.name, pod.namespace, own),
        inbound=pod.inbound or state.mesh.inbound,
        outbound=pod.outbound or state.mesh.outbound,
        ports=_ports(state.mesh.ports, pod),
        workloads=tuple(peers),
        services=tuple(services),
        exempt_sources=_together(state.mesh.exempt_sources, map(_network, pod.probe_sources)),
        probe_ports=_together(state.mesh.probe_ports, pod.probe_ports),
        access=state.mesh.access,
        ipv6_only=state.mesh.ipv6_only,
        mirrors_from=state.mesh.mirrors_from if pod.copies else None,
        gateways=gateways(state.mesh.gateways),
        forwards=state.mesh.forwards,
    )
    return msgspec.json.encode(document).decode()


def _without_conflicts(entries: Iterable[WorkloadEntry]) -> tuple[WorkloadEntry, ...]:
    taken: set[str] = set()
    kept = []
    for entry in sorted(entries, key=lambda e: e.uid):
        if entry.addresses and taken.isdisjoint(entry.addresses):
            taken.update(entry.addresses)
            kept.append(entry)
    return tuple(kept)


def _peer(entry: WorkloadEntry, via: Ways) -> Peer:
    return Peer(
        uid=entry.uid,
        name=entry.name,
        namespace=entry.namespace,
        spiffe_id=entry.spiffe_id,
        addresses=entry.addresses,
        port=entry.port,
        via=via,
        lanes=_lanes(entry, via),
    )


def _ports(ports: Iterable[PortModes], pod: Pod) -> tuple[PortModes, ...]:
    """What they say where the pod itself has no word."""
    left = (
        PortModes(
            port=one.port,
            inbound=None if pod.inbound else one.inbound,
            outbound=None if pod.outbound else one.outbound,
        )
        for one in ports
    )
    return tuple(one for one in left if one.inbound or one.outbound)


def _lanes(entry: WorkloadEntry, via: Ways) -> int:
    """The lanes of a peer. Over gateways all of them would have one way: there they help nobody. A
    number that this release does not know, of a newer registry, is none.
    """
    known = not via and MIN_LANES <= entry.lanes <= MAX_LANES
    return entry.lanes if known else 0


def _together(first: Iterable[T], second: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _network(address: Address) -> str:
    return f"{address}/{address.max_prefixlen}"


def _place(state: RegistryState, pod: Pod) -> Place:
    own = state.mesh.own
    return Place(
        address=str(pod.addresses[0]) if pod.addresses else "",
        node=(own.node if own else "") or pod.node,
        zone=own.zone if own else "",
    )


def _may_serve(entry: ServiceEntry, owner: Mapping[str, WorkloadEntry], endpoint: Endpoint) -> bool:
    """Whether the identity bound to the endpoint is one that the service names, if it names any."""
    if not entry.spiffe_ids:
        return True
    pod = owner.get(endpoint.address)
    return pod is not None and pod.spiffe_id in entry.spiffe_ids


def _mirrors(
    rules: Iterable[MirrorRule], reached: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[Mirror, ...]]:
    """The mirrors of each service that has some. A shadow gets one copy however many ask for it: of
    the larger share, which has the flows of the smaller.
    """
    shares: dict[str, dict[str, int]] = {}
    for rule in rules:
        if rule.of in reached and rule.to in reached and rule.to != rule.of:
            asked = shares.setdefault(rule.of, {})
            asked[rule.to] = max(rule.share, asked.get(rule.to, 0))
    return {
        of: tuple(Mirror(reached[to][0], share) for to, share in asked.items())
        for of, asked in shares.items()
    }


def _service(
    entry: ServiceEntry,
    vips: tuple[str, ...],
    endpoints: Sequence[Endpoint],
    mirrors: tuple[Mirror, ...],
) -> Service:
    return Service(
        name=entry.name,
        namespace=entry.namespace,
        vips=vips,
        ports=tuple(
            Port(port.port, port.target, "udp" if port.protocol == "UDP" else "tcp")
            for port in entry.ports
        ),
        endpoints=tuple(Target(one.address, one.weight, one.targets) for one in endpoints),
        spiffe_ids=entry.spiffe_ids,
        mirrors=mirrors,
    )
