"""TransportPolicy: how the traffic of a namespace, or of some of its workloads, travels."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self

import msgspec

from stoq.records import checks, mirror
from stoq.records.adaptation import Adaptation
from stoq.records.mesh import Inbound, MeshConfigSpec, Outbound
from stoq.records.meta import Record, Selector, Spec
from stoq.records.mirror import PolicyMirror

NodeLocal = Literal["encrypted", "splice"]
"""What becomes of TCP between two pods of one node."""


class TransportPolicySpec(Spec, frozen=True, kw_only=True):
    """Fields left out keep what the mesh, or a wider policy, says."""

    selector: Selector | None = None
    """Workloads it is for; left out: all of the namespace."""
    inbound: Inbound | None = None
    outbound: Outbound | None = None
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

    def checked(self) -> Self:
        """Raises `RecordError`; networks become canonical."""
        if self.selector is not None:
            self.selector.check("spec.selector")
        for index, port in enumerate(self.probe_ports or ()):
            checks.port(f"spec.probePorts[{index}]", port)
        if self.adaptation is not None:
            self.adaptation.check("spec.adaptation")
        mirror.check_policy("spec.mirrors", self.mirrors or ())
        if self.exempt_sources is None:
            return self
        return msgspec.structs.replace(
            self,
            exempt_sources=tuple(
                checks.network(f"spec.exemptSources[{index}]", item)
                for index, item in enumerate(self.exempt_sources)
            ),
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
    exempt_sources: tuple[str, ...]
    probe_ports: tuple[int, ...]
    ipv6_only: bool
    node_local: NodeLocal
    adapting: TransportPolicy | None
    """The policy whose `adaptation` holds."""


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
    return Effective(
        inbound=next((s.inbound for s in specs if s.inbound is not None), mesh.inbound),
        outbound=next((s.outbound for s in specs if s.outbound is not None), mesh.outbound),
        exempt_sources=next(
            (s.exempt_sources for s in specs if s.exempt_sources is not None), mesh.exempt_sources
        ),
        probe_ports=next(
            (s.probe_ports for s in specs if s.probe_ports is not None), mesh.probe_ports
        ),
        ipv6_only=next((s.ipv6_only for s in specs if s.ipv6_only is not None), mesh.ipv6_only),
        node_local=next((s.node_local for s in specs if s.node_local is not None), "encrypted"),
        adapting=next((p for p in chosen if p.spec.adaptation is not None), None),
    )


def mirroring(
    policies: Iterable[TransportPolicy], namespace: str, labels: Mapping[str, str]
) -> TransportPolicy | None:
    """The policy whose `mirrors` hold for a workload: that which wins, as for other fields."""
    return saying("mirrors", policies, namespace, labels)


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
