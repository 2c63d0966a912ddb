"""MeshConfig: what holds for the whole mesh."""

from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated, ClassVar, Final, Literal, Self

import msgspec

from stoq.records import checks
from stoq.records.crypto import Crypto, Profile
from stoq.records.errors import RecordError
from stoq.records.meta import Record, Spec

DEFAULT_VIP_RANGE: Final = "fd53:746f:7100::/64"
"""Unique local addresses (RFC 4193) of our own; 53:74:6f:71 spells "Stoq"."""

MIN_VIP_ADDRESSES: Final = 256
"""Fewest addresses a VIP range may have."""

MAX_FEDERATED: Final = 16
"""Other meshes; every pod keeps the roots of each."""

MAX_BUNDLE: Final = 65_536
"""Characters of a bundle: a root has 5,000, and there are two while they rotate."""


class RootsReason(StrEnum):
    """Why the roots in Secret `stoq-ca` are not in force: reasons of the condition `Ready` of a
    MeshConfig, and of Events.
    """

    UNREADABLE = "RootsUnreadable"
    """Files that are no roots."""
    LOST = "RootsLost"
    """There were roots, and nobody has them."""
    FOREIGN = "RootsOfAnotherMesh"
    """Of another trust domain."""
    REFUSED = "RootsRefused"
    """Certificates that can not be a root, keys that are not theirs, or phases that do not fit."""
    EARLY = "RootsNotYetValid"
    EXPIRED = "RootsExpired"


Inbound = Literal["permissive", "strict"]
Outbound = Literal["allow", "meshOnly"]


class FederatedBundle(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Another mesh, whose workloads can prove themselves to ours."""

    trust_domain: str
    bundle: str
    """Its roots in PEM, as its control process writes them."""


class MeshConfigSpec(Spec, frozen=True, kw_only=True):
    """Defaults are for a mesh that is being introduced beside unmeshed workloads."""

    trust_domain: str
    """First part of every SPIFFE id; it can not be changed while workloads run."""
    inbound: Inbound = "permissive"
    """`permissive` lets plaintext of unmeshed clients in and counts it; `strict` refuses it."""
    outbound: Outbound = "allow"
    """`allow` lets connections to unmeshed destinations leave as they are; `meshOnly` not."""
    profile: Profile = "hybrid-1024"
    """Of the roots and the control plane; workloads prefer it where `crypto` says nothing."""
    crypto: Crypto | None = None
    """What workloads prove themselves with, and whether others must. None binds connections with
    the control plane."""
    vip_range: str = DEFAULT_VIP_RANGE
    """Where service records get their addresses; `240.0.0.0/4` where there is only IPv4."""
    svid_ttl_seconds: Annotated[int, msgspec.Meta(ge=2, le=30 * 86400)] = 86400
    """Life of an SVID; sidecars renew at half of it."""
    exempt_sources: tuple[str, ...] = ()
    """Networks whose plaintext is let in in any mode, such as the node's probes."""
    probe_ports: tuple[int, ...] = ()
    """TCP ports on which exempt sources may speak plaintext; empty: on all."""
    ipv6_only: bool = False
    """Refuse IPv4 altogether."""
    federated: tuple[FederatedBundle, ...] = ()
    """Meshes of other trust domains, reached over gateways. What their workloads may is said by
    access policies, as for ours; none of them gets a certificate or the registry here."""

    def checked(self) -> Self:
        """Raises `RecordError`; networks become canonical."""
        checks.trust_domain("spec.trustDomain", self.trust_domain)
        vips = ip_network(checks.network("spec.vipRange", self.vip_range))
        if vips.num_addresses < MIN_VIP_ADDRESSES:
            raise RecordError(
                "spec.vipRange",
                self.vip_range,
                f"it has {vips.num_addresses} addresses, {MIN_VIP_ADDRESSES} at least are needed",
            )
        for index, port in enumerate(self.probe_ports):
            checks.port(f"spec.probePorts[{index}]", port)
        self._check_federated()
        return msgspec.structs.replace(
            self,
            vip_range=str(vips),
            exempt_sources=tuple(
                checks.network(f"spec.exemptSources[{index}]", item)
                for index, item in enumerate(self.exempt_sources)
            ),
        )

    def _check_federated(self) -> None:
        checks.at_most("spec.federated", self.federated, MAX_FEDERATED)
        seen = {self.trust_domain: "it is this mesh's own; its roots are known"}
        for index, item in enumerate(self.federated):
            field = f"spec.federated[{index}]"
            domain = checks.trust_domain(f"{field}.trustDomain", item.trust_domain)
            if domain in seen:
                raise RecordError(f"{field}.trustDomain", domain, seen[domain])
            seen[domain] = f"it is in {field} already; put its roots into one bundle"
            if len(item.bundle) > MAX_BUNDLE:
                size = f"{len(item.bundle)} characters"
                raise RecordError(f"{field}.bundle", size, f"use {MAX_BUNDLE} at most")


def crypto_of(mesh: MeshConfigSpec) -> Crypto:
    """What holds where no TransportPolicy says it."""
    return mesh.crypto or Crypto(mesh.profile)


class MeshConfig(Record, frozen=True, kw_only=True):
    """There is one per mesh; of several the first by name holds."""

    KIND: ClassVar[str] = "MeshConfig"
    NAMESPACED: ClassVar[bool] = False

    spec: MeshConfigSpec
