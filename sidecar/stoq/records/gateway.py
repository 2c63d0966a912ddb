"""HopGateway: who carries connections to where there is no route, and which.

It is of the whole mesh: who writes one says which addresses are behind it, for everybody.
"""

from typing import Annotated, ClassVar, Final, Self

import msgspec

from stoq import constants
from stoq.records import checks
from stoq.records.errors import RecordError
from stoq.records.meta import Record, Spec
from stoq.spiffe import SpiffeError, SpiffeId, check_trust_domain

MAX_ENDPOINTS: Final = 64
MAX_NETWORKS: Final = 64
MAX_FORWARDS: Final = 256

MAX_WAYS: Final = 8
"""Of a service record: a dial goes on over another way once one has failed."""

MAX_GATEWAYS: Final = 8
"""Of a way (`docs/wire-format.md`, section 14)."""

EVERYONE: Final = "*"


class GatewayEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one replica takes STOQ."""

    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = constants.STOQ_PORT


class Forward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Routes that pass. Each name is `*`, `spiffe://<trust domain>` or a SPIFFE id."""

    source: str = msgspec.field(name="from")
    """Who asks: a workload, or the gateway before."""
    to: str
    """Who is at the end."""
    next: str = ""
    """The gateway that comes next; left out: routes that end here."""
    origin: str = ""
    """Who began the route and has signed it, also where it came over another gateway; left out:
    whoever it was, signed or not."""

    def check(self, field: str) -> None:
        """Raises `RecordError` for what names nobody."""
        _check_who(f"{field}.from", self.source)
        _check_who(f"{field}.to", self.to)
        if self.next:
            _check_who(f"{field}.next", self.next)
        if self.origin:
            _check_who(f"{field}.origin", self.origin)


class HopGatewaySpec(Spec, frozen=True, kw_only=True):
    """One gateway; its replicas prove one identity."""

    spiffe_id: str
    endpoints: tuple[GatewayEndpoint, ...] | None = None
    """Where it is reached; left out: at the pods of this mesh that have the identity and are
    ready."""
    networks: tuple[str, ...] = ()
    """What is behind it: the only addresses that ways over it, as the last gateway, lead to. Pods
    that are in them themselves go to one another directly."""
    forwards: tuple[Forward, ...] = ()
    """What its replicas in this mesh let pass; nothing else does."""

    def checked(self) -> Self:
        """Raises `RecordError`; addresses and networks become canonical."""
        checks.spiffe_id("spec.spiffeId", self.spiffe_id)
        checks.at_most("spec.networks", self.networks, MAX_NETWORKS)
        checks.at_most("spec.forwards", self.forwards, MAX_FORWARDS)
        for index, rule in enumerate(self.forwards):
            rule.check(f"spec.forwards[{index}]")
        networks = tuple(
            checks.network(f"spec.networks[{index}]", item)
            for index, item in enumerate(self.networks)
        )
        return msgspec.structs.replace(self, endpoints=self._checked_endpoints(), networks=networks)

    def _checked_endpoints(self) -> tuple[GatewayEndpoint, ...] | None:
        if self.endpoints is None:
            return None
        checks.at_most("spec.endpoints", self.endpoints, MAX_ENDPOINTS)
        found: dict[tuple[str, int], GatewayEndpoint] = {}
        for index, item in enumerate(self.endpoints):
            field = f"spec.endpoints[{index}].address"
            address = checks.address(field, item.address)
            if (address, item.port) in found:
                raise RecordError(field, item.address, "it is listed twice; remove one")
            found[address, item.port] = GatewayEndpoint(address, item.port)
        return tuple(found.values())


class HopGateway(Record, frozen=True, kw_only=True):
    """A gateway, by whatever name service records call it."""

    KIND: ClassVar[str] = "HopGateway"
    NAMESPACED: ClassVar[bool] = False

    spec: HopGatewaySpec


class Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to what is behind gateways."""

    gateways: tuple[str, ...]
    """HopGateways, in the order in which they come."""


def check_ways(field: str, ways: tuple[Way, ...]) -> None:
    """Raises `RecordError` for ways that cannot be gone, or told apart."""
    checks.at_most(field, ways, MAX_WAYS)
    first: dict[str, int] = {}
    for index, way in enumerate(ways):
        place = f"{field}[{index}].gateways"
        if not way.gateways:
            raise RecordError(place, [], "name the gateways, or remove the way")
        checks.at_most(place, way.gateways, MAX_GATEWAYS)
        for at, name in enumerate(way.gateways):
            checks.dns_subdomain(f"{place}[{at}]", name)
            if name in way.gateways[:at]:
                way_out = "the way comes by it twice; gateways refuse that as a loop"
                raise RecordError(f"{place}[{at}]", name, way_out)
        before = first.setdefault(way.gateways[0], index)
        if before != index:
            way_out = f"{field}[{before}] begins with it; ways are told apart by their first one"
            raise RecordError(f"{place}[0]", way.gateways[0], way_out)


def _check_who(field: str, value: str) -> None:
    domain = value.removeprefix("spiffe://")
    try:
        if domain != value and "/" not in domain:
            check_trust_domain(domain)
        elif value != EVERYONE:
            SpiffeId.parse(value)
    except SpiffeError:
        way_out = "use * for everyone, spiffe://<trust domain>, or a SPIFFE id"
        raise RecordError(field, value, way_out) from None
