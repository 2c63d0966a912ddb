"""ServiceRecord: a name, a virtual address and the workloads behind it."""

from typing import Annotated, ClassVar, Final, Literal, Self

import msgspec

from stoq.records import checks, gateway, mirror
from stoq.records.errors import MISSING, RecordError
from stoq.records.gateway import Way
from stoq.records.meta import Record, Selector, Spec, Status
from stoq.records.mirror import Mirror

MAX_PORTS: Final = 64
MAX_ENDPOINTS: Final = 1024
MAX_SPIFFE_IDS: Final = 64
MAX_TTL: Final = 86400


class RecordPort(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A port of the service."""

    port: int
    target_port: int | None = None
    """Where its endpoints listen, and with `serviceRef` the Service's own port; left out: the same
    number."""
    protocol: Literal["TCP", "UDP"] = "TCP"
    """A number may be there once for each."""
    name: str = ""
    """Unique in the record; SRV records are asked for by it."""


class RecordEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One address behind the service; new connections are spread by weight."""

    address: str
    weight: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 1


class ServiceRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Kubernetes Service of the same namespace."""

    name: str


class ServiceRecordSpec(Spec, frozen=True, kw_only=True):
    """Endpoints are listed, chosen among the workloads of the namespace, or those of a Service:
    one of the three.
    """

    ports: tuple[RecordPort, ...]
    endpoints: tuple[RecordEndpoint, ...] | None = None
    selector: Selector | None = None
    service_ref: ServiceRef | None = None
    spiffe_ids: tuple[str, ...] = ()
    """Identities its endpoints may have; left out: what the registry binds to each address."""
    ttl_seconds: Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL)] = 5
    """How long those who resolve its name may remember the answer."""
    mirrors: tuple[Mirror, ...] = ()
    """Shadows that get copies of what clients say to it over TCP, from whatever pod."""
    hops: tuple[Way, ...] = ()
    """Ways to its endpoints, one of which is taken; left out: they are dialled directly."""

    def checked(self) -> Self:
        """Raises `RecordError`; addresses become canonical."""
        self._check_ports()
        self._check_source()
        checks.at_most("spec.spiffeIds", self.spiffe_ids, MAX_SPIFFE_IDS)
        for index, item in enumerate(self.spiffe_ids):
            checks.spiffe_id(f"spec.spiffeIds[{index}]", item)
        mirror.check("spec.mirrors", self.mirrors)
        gateway.check_ways("spec.hops", self.hops)
        return msgspec.structs.replace(self, endpoints=self._checked_endpoints())

    def _check_ports(self) -> None:
        if not self.ports:
            raise RecordError("spec.ports", [], "name at least one port")
        checks.at_most("spec.ports", self.ports, MAX_PORTS)
        seen: set[tuple[int, str]] = set()
        names: set[str] = set()
        for index, item in enumerate(self.ports):
            field = f"spec.ports[{index}]"
            checks.port(f"{field}.port", item.port)
            if item.target_port is not None:
                checks.port(f"{field}.targetPort", item.target_port)
            if item.name:
                checks.dns_label(f"{field}.name", item.name)
                if item.name in names:
                    raise RecordError(f"{field}.name", item.name, "another port has it; rename one")
                names.add(item.name)
            if (item.port, item.protocol) in seen:
                way_out = f"it is listed twice for {item.protocol}; remove one"
                raise RecordError(f"{field}.port", item.port, way_out)
            seen.add((item.port, item.protocol))

    def _check_source(self) -> None:
        sources = {
            "spec.endpoints": self.endpoints,
            "spec.selector": self.selector,
            "spec.serviceRef": self.service_ref,
        }
        given = [field for field, value in sources.items() if value is not None]
        if len(given) != 1:
            value = f"given beside {given[1]}" if given else MISSING
            raise RecordError(
                given[0] if given else "spec.endpoints",
                value,
                "give one of endpoints, selector and serviceRef",
            )
        if self.selector is not None:
            self.selector.check("spec.selector")
        if self.service_ref is not None:
            checks.dns_label("spec.serviceRef.name", self.service_ref.name)

    def _checked_endpoints(self) -> tuple[RecordEndpoint, ...] | None:
        if self.endpoints is None:
            return None
        checks.at_most("spec.endpoints", self.endpoints, MAX_ENDPOINTS)
        found: dict[str, RecordEndpoint] = {}
        for index, item in enumerate(self.endpoints):
            field = f"spec.endpoints[{index}].address"
            address = checks.address(field, item.address)
            if address in found:
                raise RecordError(field, item.address, "it is listed twice; use one with a weight")
            found[address] = RecordEndpoint(address, item.weight)
        return tuple(found.values())


class ServiceStatus(Status, frozen=True, kw_only=True):
    """As every record's, with the address that the record was given."""

    vip: str = ""


class ServiceRecord(Record, frozen=True, kw_only=True):
    """Reached by its VIP; the name `<name>.<namespace>.stoq` stands for it."""

    KIND: ClassVar[str] = "ServiceRecord"

    spec: ServiceRecordSpec
    status: ServiceStatus = ServiceStatus()

    def check_metadata(self) -> None:
        """As every record's; the name must also be a label, since it becomes a DNS name."""
        super().check_metadata()
        checks.dns_label("metadata.name", self.metadata.name)
