"""ServiceRecord: a name, a virtual address and the workloads behind it."""

from typing import Annotated, ClassVar, Final, Self

import msgspec

from stoq.records import checks
from stoq.records.errors import MISSING, RecordError
from stoq.records.meta import Record, Selector, Spec

MAX_PORTS: Final = 64
MAX_ENDPOINTS: Final = 1024
MAX_SPIFFE_IDS: Final = 64


class RecordPort(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A port of the service; `target_port` is where its endpoints listen (default: the same)."""

    port: int
    target_port: int | None = None
    name: str = ""


class RecordEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One address behind the service; new connections are spread by weight."""

    address: str
    weight: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 1


class ServiceRecordSpec(Spec, frozen=True, kw_only=True):
    """Endpoints are listed, or chosen among the workloads of the namespace: one of the two."""

    ports: tuple[RecordPort, ...]
    endpoints: tuple[RecordEndpoint, ...] | None = None
    selector: Selector | None = None
    spiffe_ids: tuple[str, ...] = ()
    """Identities its endpoints may have; left out: what the registry binds to each address."""

    def checked(self) -> Self:
        """Raises `RecordError`; addresses become canonical."""
        self._check_ports()
        if (self.endpoints is None) == (self.selector is None):
            value = MISSING if self.endpoints is None else "given beside spec.selector"
            raise RecordError("spec.endpoints", value, "give either endpoints or a selector")
        if self.selector is not None:
            self.selector.check("spec.selector")
        checks.at_most("spec.spiffeIds", self.spiffe_ids, MAX_SPIFFE_IDS)
        for index, item in enumerate(self.spiffe_ids):
            checks.spiffe_id(f"spec.spiffeIds[{index}]", item)
        return msgspec.structs.replace(self, endpoints=self._checked_endpoints())

    def _check_ports(self) -> None:
        if not self.ports:
            raise RecordError("spec.ports", [], "name at least one port")
        checks.at_most("spec.ports", self.ports, MAX_PORTS)
        seen: set[int] = set()
        for index, item in enumerate(self.ports):
            field = f"spec.ports[{index}]"
            checks.port(f"{field}.port", item.port)
            if item.target_port is not None:
                checks.port(f"{field}.targetPort", item.target_port)
            if item.name:
                checks.dns_label(f"{field}.name", item.name)
            if item.port in seen:
                raise RecordError(f"{field}.port", item.port, "it is listed twice; remove one")
            seen.add(item.port)

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


class ServiceRecord(Record, frozen=True, kw_only=True):
    """Reached by its VIP; the name `<name>.<namespace>.stoq` stands for it."""

    KIND: ClassVar[str] = "ServiceRecord"

    spec: ServiceRecordSpec

    def check_metadata(self) -> None:
        """As every record's; the name must also be a label, since it becomes a DNS name."""
        super().check_metadata()
        checks.dns_label("metadata.name", self.metadata.name)
