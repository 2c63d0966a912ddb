"""Who is dialled over gateways, as this pod sees it. Pure."""

from collections.abc import Iterable
from ipaddress import ip_network

import msgspec

from stoq.capture.plan import Address
from stoq.registry import GatewayEntry, MeshEntry, WorkloadEntry

Ways = tuple[tuple[str, ...], ...]


class Gateway(msgspec.Struct, frozen=True):
    """One replica, as the engine needs it."""

    spiffe_id: str
    address: str
    port: int


def gateways(entries: Iterable[GatewayEntry]) -> tuple[Gateway, ...]:
    """Every replica. An address is one gateway's: of two that claim it the first has it, so that a
    race in the registry does not refuse the whole table.
    """
    found: dict[tuple[str, int], Gateway] = {}
    for entry in entries:
        for replica in entry.replicas:
            place = (replica.address, replica.port)
            found.setdefault(place, Gateway(entry.spiffe_id, *place))
    return tuple(found.values())


class Here:
    """Where this pod is, seen from gateways."""

    def __init__(self, mesh: MeshEntry, addresses: Iterable[Address]) -> None:
        own = tuple(addresses)
        self._beside = {
            entry.spiffe_id
            for entry in mesh.gateways
            if any(address in ip_network(one) for one in entry.networks for address in own)
        }
        if mesh.own is not None:
            self._beside.add(mesh.own.spiffe_id)

    def ways(self, entry: WorkloadEntry) -> Ways:
        """The ways to a workload; none where it is dialled directly: from behind the last gateway
        of any of them, and from that gateway itself.
        """
        if entry.via and any(way[-1] in self._beside for way in entry.via):
            return ()
        return entry.via
