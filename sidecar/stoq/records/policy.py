"""TransportPolicy: how the traffic of a namespace, or of some of its workloads, travels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Final, Literal, Self

import msgspec

from stoq.records import checks, mirror
from stoq.records.adaptation import Adaptation
from stoq.records.crypto import Crypto
from stoq.records.errors import RecordError
from stoq.records.mesh import Inbound, MeshConfigSpec, Outbound, crypto_of
from stoq.records.meta import Record, Selector, Spec
from stoq.records.mirror import PolicyMirror

NodeLocal = Literal["encrypted", "splice"]
"""What becomes of TCP between two pods of one node."""

MIN_LANES: Final = 2
MAX_LANES: Final = 8


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TCP connections of the mesh to the pods go over several STOQ connections each."""

    lanes: int
    """How many at most, the first included: 2 to 8."""

    def check(self, field: str) -> None:
        """Raises `RecordError`."""
        if not MIN_LANES <= self.lanes <= MAX_LANES:
            hint = f"use {MIN_LANES} to {MAX_LANES}; leave shard out for one connection"
            raise RecordError(f"{field}.lanes", self.lanes, hint)


MAX_PORTS: Final = 64
"""Ports of a policy; each is an entry in the kernel's maps where it is open."""


class PortModes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds at one port, TCP and UDP alike; what is None is as for the other ports."""

    port: int
    inbound: Inbound | None = None
    """Of the application's own port."""
    outbound: Outbound | None = None
    """Of the port of the destination; of a service, that of its endpoints."""


class TransportPolicySpec(Spec, frozen=True, kw_only=True):
    """Fields left out keep what the mesh, or a wider policy, says."""

    selector: Selector | None = None
    """Workloads it is for; left out: all of the namespace."""
    inbound: Inbound | None = None
    outbound: Outbound | None = None
    ports: tuple[PortModes, ...] | None = None
    """Ports at which something else holds. A wider policy's word on a port gives way to what a
    narrower one says of all ports."""
    exempt_sources: tuple[str, ...] | None = None
    probe_ports: tuple[int, ...] | None = None
    ipv6_only: bool | None = None
    adaptation: Adaptation | None = None
    """Holds as a whole: it is not put together from several policies."""
    mirrors: tuple[PolicyMirror, ...] | None = None
    """Copies of what these workloads say, beside those that service records ask for."""
    node_local: NodeLocal | None = None
    """`splice`: once both sidecars have authorised each other, the node's kernel carries what pods
    of the same node say to each other, and nobody encrypts it. `encrypted` where nobody says."""
    shard: Shard | None = None
    """How connections to these workloads are spread; over one STOQ connection where nobody says."""
    crypto: Crypto | None = None
    """Holds as a whole."""

    def checked(self) -> Self:
        """Raises `RecordError`; networks become canonical."""
        if self.selector is not None:
            self.selector.check("spec.selector")
        for index, port in enumerate(self.probe_ports or ()):
            checks.port(f"spec.probePorts[{index}]", port)
        self._check_ports()
        if self.adaptation is not None:
            self.adaptation.check("spec.adaptation")
        mirror.check_policy("spec.mirrors", self.mirrors or ())
        if self.shard is not None:
            self.shard.check("spec.shard")
        if self.exempt_sources is None:
            return self
        return msgspec.structs.replace(
            self,
            exempt_sources=tuple(
                checks.network(f"spec.exemptSources[{index}]", item)
                for index, item in enumerate(self.exempt_sources)
            ),
        )

    def _check_ports(self) -> None:
        checks.at_most("spec.ports", self.ports or (), MAX_PORTS)
        seen: dict[int, str] = {}
        for index, item in enumerate(self.ports or ()):
            field = f"spec.ports[{index}]"
            checks.port(f"{field}.port", item.port)
            if item.port in seen:
                raise RecordError(f"{field}.port", item.port, f"it is in {seen[item.port]} already")
            seen[item.port] = field
            if item.inbound is None and item.outbound is None:
                raise RecordError(field, f"port {item.port}", "say inbound, outbound or both")

    def modes_at(self, port: int) -> tuple[Inbound | None, Outbound | None]:
        """What it says of a port; None: nothing."""
        own = next((item for item in self.ports or () if item.port == port), None)
        return (
            (own.inbound if own else None) or self.inbound,
            (own.outbound if own else None) or self.outbound,
        )


class TransportPolicy(Record, frozen=True, kw_only=True):
    """Holds for workloads of its own namespace."""

    KIND: ClassVar[str] = "TransportPolicy"

    spec: TransportPolicySpec

    def selects(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether it is for a workload of that namespace with these labels."""
        selector = self.spec.selector
        return self.metadata.namespace == namespace and (
            selector is None or selector.selects(labels)
        )


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one workload."""

    inbound: Inbound
    outbound: Outbound
    ports: tuple[PortModes, ...]
    """Ports at which something else holds than that, by number."""
    exempt_sources: tuple[str, ...]
    probe_ports: tuple[int, ...]
    ipv6_only: bool
    node_local: NodeLocal
    adapting: TransportPolicy | None
    """The policy whose `adaptation` holds."""
    crypto: Crypto
    encrypting: TransportPolicy | None
    """The policy whose `crypto` holds; None: the mesh's."""


def effective(
    mesh: MeshConfigSpec,
    policies: Iterable[TransportPolicy],
    namespace: str,
    labels: Mapping[str, str],
) -> Effective:
    """The mesh's values, overlaid by the policies that choose the workload.

    A policy with a selector wins over one without; among equals the first by name wins, so that
    adding a policy never depends on the order in which files or objects arrive.
    """
    chosen = _chosen(policies, namespace, labels)
    specs = [policy.spec for policy in chosen]
    inbound = next((s.inbound for s in specs if s.inbound is not None), mesh.inbound)
    outbound = next((s.outbound for s in specs if s.outbound is not None), mesh.outbound)
    encrypting = next((p for p in chosen if p.spec.crypto is not None), None)
    return Effective(
        inbound=inbound,
        outbound=outbound,
        ports=tuple(_apart(specs, inbound, outbound)),
        exempt_sources=next(
            (s.exempt_sources for s in specs if s.exempt_sources is not None), mesh.exempt_sources
        ),
        probe_ports=next(
            (s.probe_ports for s in specs if s.probe_ports is not None), mesh.probe_ports
        ),
        ipv6_only=next((s.ipv6_only for s in specs if s.ipv6_only is not None), mesh.ipv6_only),
        node_local=next((s.node_local for s in specs if s.node_local is not None), "encrypted"),
        adapting=next((p for p in chosen if p.spec.adaptation is not None), None),
        crypto=(encrypting and encrypting.spec.crypto) or crypto_of(mesh),
        encrypting=encrypting,
    )


def _apart(
    specs: Sequence[TransportPolicySpec], inbound: Inbound, outbound: Outbound
) -> Iterator[PortModes]:
    """The ports at which not `inbound` and `outbound` hold, of policies of which the first wins."""
    for port in sorted({item.port for spec in specs for item in spec.ports or ()}):
        said = [spec.modes_at(port) for spec in specs]
        entering = next((mode for mode, _ in said if mode is not None), inbound)
        leaving = next((mode for _, mode in said if mode is not None), outbound)
        if (entering, leaving) != (inbound, outbound):
            yield PortModes(
                port=port,
                inbound=None if entering == inbound else entering,
                outbound=None if leaving == outbound else leaving,
            )


def mirroring(
    policies: Iterable[TransportPolicy], namespace: str, labels: Mapping[str, str]
) -> TransportPolicy | None:
    """The policy whose `mirrors` hold for a workload: that which wins, as for other fields."""
    return saying("mirrors", policies, namespace, labels)


def lanes(policies: Iterable[TransportPolicy], namespace: str, labels: Mapping[str, str]) -> int:
    """STOQ connections of a TCP connection to a workload; 0: no policy has it sharded."""
    policy = saying("shard", policies, namespace, labels)
    return policy.spec.shard.lanes if policy and policy.spec.shard else 0


def saying(
    field: str, policies: Iterable[TransportPolicy], namespace: str, labels: Mapping[str, str]
) -> TransportPolicy | None:
    """The policy whose `field` holds for a workload; None: what the mesh says."""
    chosen = _chosen(policies, namespace, labels)
    return next((policy for policy in chosen if getattr(policy.spec, field) is not None), None)


def _chosen(
    policies: Iterable[TransportPolicy], namespace: str, labels: Mapping[str, str]
) -> list[TransportPolicy]:
    """The policies for a workload, the one that wins first."""
    chosen = [policy for policy in policies if policy.selects(namespace, labels)]
    chosen.sort(key=lambda policy: (policy.spec.selector is None, policy.metadata.name))
    return chosen
