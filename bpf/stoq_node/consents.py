"""Which pods of the node are joined: those of which both sidecars have said so. Pure.

A sidecar offers what it has authorised itself: with whom it has a STOQ connection now, which ports
of that pod its own pod may dial past both of them, and which of its own ports that pod may dial.
Two offers agree when each names the other by SPIFFE id and address, and the one's dialling and the
other's admitting have a port in common. Whose address it is the API server says, not the sidecar.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from stoq.broker.protocol import Code, Offer, Peer, ProtocolError
from stoq.capture.plan import Address

CONSENT_SECONDS: Final = 5.0
"""How long an offer holds. A sidecar makes it again every second, and at once when less holds."""

OWN_PORTS: Final = range(14000, 14054)
"""STOQ's own (docs/architecture.md). What is dialled there is for the sidecar."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pod that its policies let be joined."""

    key: str
    """`namespace/name`."""
    addresses: frozenset[Address]
    link: int
    """The host's end."""
    netns: str
    """The file of its network namespace."""


@dataclass(frozen=True, slots=True)
class End:
    """One of two pods that are joined."""

    uid: str
    pod: str
    link: int
    netns: str
    address: Address


@dataclass(frozen=True, slots=True)
class Pair:
    """Connections from one pod to a port of another."""

    client: End
    server: End
    port: int

    @property
    def entry(self) -> tuple[int, str, int, str, int]:
        """As the kernel's part has it."""
        client, server = self.client, self.server
        return client.link, str(client.address), server.link, str(server.address), self.port

    def __str__(self) -> str:
        return f"{self.client.pod} to {self.server.pod}, {self.server.address} port {self.port}"


class Consents:
    """The offers that hold. Times are in seconds of any one epoch."""

    def __init__(self) -> None:
        self._offers: dict[str, tuple[float, Offer]] = {}

    def offer(self, uid: str, offer: Offer, now: float) -> bool:
        """Takes a pod's offer in place of the one before; false if it is the same. Raises
        `ProtocolError` for addresses that are none.
        """
        for peer in offer.peers:
            _addresses(peer)
        before = self._offers.get(uid)
        self._offers[uid] = (now, offer)
        return before is None or before[1] != offer or now - before[0] >= CONSENT_SECONDS

    def agreed(self, members: Mapping[str, Member], now: float) -> frozenset[Pair]:
        """The pairs that both sides want now."""
        self._offers = {
            uid: (since, offer)
            for uid, (since, offer) in self._offers.items()
            if uid in members and now - since < CONSENT_SECONDS
        }
        held = {uid: offer for uid, (_, offer) in self._offers.items()}
        owner = {one: uid for uid in held for one in members[uid].addresses}
        return frozenset(
            pair
            for uid, offer in held.items()
            for peer in offer.peers
            for address in _addresses(peer)
            if (other := owner.get(address)) is not None and other != uid
            for pair in _pairs(uid, other, address, held, members)
        )


def _pairs(
    client: str,
    server: str,
    address: Address,
    offers: Mapping[str, Offer],
    members: Mapping[str, Member],
) -> Iterator[Pair]:
    """What `client` may dial at an `address` of `server`."""
    wants, lets = offers[client], offers[server]
    dialled = {
        port
        for peer in wants.peers
        if peer.spiffe_id == lets.spiffe_id and address in _addresses(peer)
        for port in peer.dials
    }
    for peer in lets.peers:
        if peer.spiffe_id != wants.spiffe_id:
            continue
        for source in _addresses(peer):
            if source not in members[client].addresses or source.version != address.version:
                continue
            for port in dialled.intersection(peer.admits):
                if port not in OWN_PORTS:
                    yield Pair(
                        _end(client, members[client], source),
                        _end(server, members[server], address),
                        port,
                    )


def _end(uid: str, member: Member, address: Address) -> End:
    return End(uid, member.key, member.link, member.netns, address)


def _addresses(peer: Peer) -> frozenset[Address]:
    try:
        return frozenset(map(ip_address, peer.addresses))
    except ValueError as error:
        raise ProtocolError(Code.MALFORMED, f"offer: addresses: {error}") from error
