"""Workload: a pod. In the embedded mode a manifest says what Kubernetes knows of its pods."""

from typing import ClassVar, Final, Self

import msgspec

from stoq.records import checks
from stoq.records.errors import RecordError
from stoq.records.meta import Record, Spec
from stoq.spiffe import SpiffeId

MAX_ADDRESSES: Final = 16


class CaptureSpec(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What capture leaves alone in this pod; the texts are those of a pod's annotations."""

    exclude_outbound_ports: str = ""
    """Ports and ranges, `443,8000-8010`."""
    exclude_outbound_networks: str = ""
    """Networks, `10.0.0.0/8,fd00::/64`."""
    exclude_inbound_ports: str = ""
    """Ports and ranges."""
    exclude_outbound_udp_ports: str = ""
    """Ports and ranges of UDP alone, beside those of both protocols above."""
    exclude_inbound_udp_ports: str = ""
    """Ports and ranges of UDP alone."""
    ipv6_only: bool = False
    """Refuse IPv4 altogether."""
    udp: bool = True
    """Whether UDP is captured; otherwise it passes as it is, in plaintext."""
    nameservers: str = ""
    """Name servers of the pod, `fd00::a,10.96.0.10`: DNS towards them goes to the sidecar."""


class WorkloadSpec(Spec, frozen=True, kw_only=True):
    """In Kubernetes a Pod says the same."""

    addresses: tuple[str, ...]
    """Its IP addresses, the preferred one first."""
    service_account: str = "default"
    """Last part of its SPIFFE id."""
    uid: str = ""
    """Stays the same over restarts of the sidecar; left out: `<namespace>/<name>`."""
    join_token_hash: str = ""
    """SHA-256 of the token that attests it, hexadecimal; left out: it gets no identity."""
    netns: str = ""
    """Path of its network namespace, for the socket broker; left out: no broker serves it."""
    capture: CaptureSpec = CaptureSpec()
    node: str = ""
    """The machine it runs on; left out: services prefer nobody on its account."""
    zone: str = ""
    """The failure domain of that machine."""
    ready: bool = True
    """Whether services that choose it by its labels lead to it."""
    terminating: bool = False
    """On its way out: services lead to it only while they have nothing else."""

    def checked(self) -> Self:
        """Raises `RecordError`; addresses and the hash become canonical."""
        if not self.addresses:
            raise RecordError("spec.addresses", [], "name at least one address of the pod")
        checks.at_most("spec.addresses", self.addresses, MAX_ADDRESSES)
        checks.dns_subdomain("spec.serviceAccount", self.service_account)
        if self.netns and not self.netns.startswith("/"):
            raise RecordError("spec.netns", self.netns, "use a path such as /run/netns/web-0")
        return msgspec.structs.replace(
            self,
            addresses=tuple(
                checks.address(f"spec.addresses[{index}]", item)
                for index, item in enumerate(self.addresses)
            ),
            join_token_hash=self.join_token_hash
            and checks.hexadecimal("spec.joinTokenHash", self.join_token_hash, low=32, high=32),
        )


class Workload(Record, frozen=True, kw_only=True):
    """One pod."""

    KIND: ClassVar[str] = "Workload"

    spec: WorkloadSpec

    @property
    def uid(self) -> str:
        """Names this pod in the registry and the CA."""
        return self.spec.uid or f"{self.metadata.namespace}/{self.metadata.name}"

    def spiffe_id(self, trust_domain: str) -> str:
        """The identity it may have."""
        return str(SpiffeId(trust_domain, self.metadata.namespace, self.spec.service_account))
