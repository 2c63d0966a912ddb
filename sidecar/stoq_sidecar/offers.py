"""With whom this pod agrees to be joined on its node, past both sidecars. Pure.

What a sidecar would let through itself, it lets go past: there is a STOQ connection with the other
pod now, whose id is the one that the registry binds to its addresses; the port is one of a service,
or of a record, that leads there; and where the other pod dials, the access policies admit it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from stoq.broker.protocol import MAX_ADDRESSES, MAX_PEERS, MAX_PORTS, Offer, Peer
from stoq.capture.plan import Address
from stoq.engine import ConnectionInfo
from stoq.registry import AccessRule, RegistryState, WorkloadEntry
from stoq.settings.kinds import split_host_and_port
from stoq.spiffe import SpiffeError, SpiffeId

SPLICE: Final = "splice"


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry says, by address. Made once for each state."""

    state: RegistryState
    workloads: Mapping[Address, WorkloadEntry]
    ports: Mapping[Address, tuple[int, ...]]
    """TCP ports that services lead to, in order."""

    @classmethod
    def of(cls, state: RegistryState) -> "Known":
        """What `state` says."""
        workloads = {
            ip_address(address): entry
            for entry in state.workloads.values()
            for address in entry.addresses
        }
        ports: dict[Address, set[int]] = {}
        for service in state.services.values():
            for end in service.endpoints:
                for port, target in zip(
                    service.ports,
                    end.targets or [one.target for one in service.ports],
                    strict=False,
                ):
                    if port.protocol == "TCP" and target:
                        ports.setdefault(ip_address(end.address), set()).add(target)
        return cls(state, workloads, {one: tuple(sorted(found)) for one, found in ports.items()})

    @property
    def wanted(self) -> bool:
        """Whether the pod's policies let it be joined."""
        return self.state.mesh.node_local == SPLICE and self.state.mesh.own is not None


def offer(known: Known, own: Iterable[Address], connections: Iterable[ConnectionInfo]) -> Offer:
    """The offer of the pod that has the addresses `own`. Of what is too much the first count."""
    mesh = known.state.mesh
    if mesh.own is None or not known.wanted:
        return Offer(spiffe_id=mesh.own.spiffe_id if mesh.own else "")
    admitting = tuple(sorted({port for one in own for port in known.ports.get(one, ())}))
    peers = [
        _peer(known, entry, admitting)
        for entry in met(known, connections)
        if entry.uid != mesh.own.uid and _near(entry, mesh.own)
    ]
    useful = [peer for peer in peers if peer.dials or peer.admits]
    return Offer(spiffe_id=mesh.own.spiffe_id, peers=tuple(useful[:MAX_PEERS]))


def met(known: Known, connections: Iterable[ConnectionInfo]) -> list[WorkloadEntry]:
    """The pods with which there is a connection now, each once: who is at the other end has proven
    to be whom the registry has there.
    """
    found = {}
    for connection in connections:
        if connection.state != "established" or connection.spiffe_id is None:
            continue
        entry = known.workloads.get(_host(connection.remote))
        if entry is not None and entry.spiffe_id == connection.spiffe_id:
            found[entry.uid] = entry
    return sorted(found.values(), key=lambda entry: entry.uid)


def admits(rules: Iterable[AccessRule], caller: str, home: str, port: int) -> bool:
    """Whether access policies let the SPIFFE id `caller` connect to `port`, as the engine decides:
    deny wins, and where anything is allowed the rest is refused. `home` is the trust domain whose
    namespaces and service accounts rules name. One whose id has neither is not let past the engine.
    """
    try:
        found = SpiffeId.parse(caller)
    except SpiffeError:
        return False
    enforced = [rule for rule in rules if not rule.dry_run]
    naming = {rule.action for rule in enforced if _names(rule, found, home, port)}
    if "deny" in naming:
        return False
    return "allow" in naming or not any(rule.action == "allow" for rule in enforced)


def _names(rule: AccessRule, caller: SpiffeId, home: str, port: int) -> bool:
    if rule.ports and not any(first <= port <= last for first, last in rule.ports):
        return False
    if not (rule.spiffe_ids or rule.namespaces or rule.service_accounts):
        return True
    if str(caller) in rule.spiffe_ids:
        return True
    account = f"{caller.namespace}/{caller.service_account}"
    return caller.trust_domain == home and (
        caller.namespace in rule.namespaces or account in rule.service_accounts
    )


def _peer(known: Known, entry: WorkloadEntry, admitting: Iterable[int]) -> Peer:
    mesh = known.state.mesh
    addresses = entry.addresses[:MAX_ADDRESSES]
    dials = {port for one in addresses for port in known.ports.get(ip_address(one), ())}
    admitted = (
        port for port in admitting if admits(mesh.access, entry.spiffe_id, mesh.trust_domain, port)
    )
    return Peer(
        spiffe_id=entry.spiffe_id,
        addresses=addresses,
        dials=tuple(sorted(dials))[:MAX_PORTS],
        admits=tuple(admitted)[:MAX_PORTS],
    )


def _host(remote: str) -> Address:
    found = ip_address(split_host_and_port(remote)[0])
    mapped = found.ipv4_mapped if found.version == 6 else None
    return mapped or found


def _near(entry: WorkloadEntry, own: WorkloadEntry) -> bool:
    """Whether it may be on the same node; who is not told decides nothing."""
    return not entry.via and (entry.node == own.node or not entry.node or not own.node)
