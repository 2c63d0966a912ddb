"""Which pods of the node are joined: those of which both sidecars have said so. Pure.

A sidecar offers what it has authorised itself: with whom it has a STOQ connection now, which ports
of that pod its own pod may dial past both of them, and which of its own ports that pod may dial.
Two offers agree when each names the other by SPIFFE id and address, and the one's dialling and the
other's admitting have a port in common. Whose address it is the API server says, not the sidecar,
and so it is with the namespace and the service account of who offers: an address passes to a new
pod sooner than all have forgotten the old one's name.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from stoq.broker.protocol import MAX_PORTS, Code, Offer, Peer, ProtocolError
from stoq.capture.plan import Address
from stoq.spiffe import SpiffeError, SpiffeId

CONSENT_SECONDS: Final = 5.0
"""How long an offer holds. A sidecar makes it again every second, and at once when less holds."""

OWN_PORTS: Final = range(14000, 14054)
"""STOQ's own (docs/architecture.md). What is dialled there is for the sidecar."""

Ports = Mapping[tuple[str, Address], AbstractSet[int]]
"""By SPIFFE id and address of who is named."""


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
    service_account: str
    """As whom the API server has it."""


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
        self._offers: dict[str, _Held] = {}

    def offer(self, uid: str, offer: Offer, now: float) -> bool:
        """Takes a pod's offer in place of the one before; false if it is the same. Raises
        `ProtocolError` for addresses that are none.
        """
        before = self._offers.get(uid)
        same = before is not None and before.offer == offer
        read = before.read if before is not None and same else _Read.of(offer)
        self._offers[uid] = _Held(now, offer, read)
        return before is None or not same or now - before.since >= CONSENT_SECONDS

    def agreed(self, members: Mapping[str, Member], now: float) -> frozenset[Pair]:
        """The pairs that both sides want now."""
        self._offers = {
            uid: held
            for uid, held in self._offers.items()
            if uid in members and now - held.since < CONSENT_SECONDS
        }
        # What is said in another's name is nobody's word.
        told = {uid: held for uid, held in self._offers.items() if held.read.is_of(members[uid])}
        owner = {one: uid for uid in told for one in members[uid].addresses}
        return frozenset(
            pair
            for uid, held in told.items()
            for (peer, address), ports in held.read.dials.items()
            if (other := owner.get(address)) is not None and other != uid
            if peer == told[other].offer.spiffe_id
            for pair in _pairs((uid, held), (other, told[other]), address, ports, members)
        )

    def refused(self, pair: Pair) -> bool:
        """Whether a side of `pair` has made an offer since, in which it is not."""
        client, server = pair.client, pair.server
        wants, lets = self._offers.get(client.uid), self._offers.get(server.uid)
        return (wants is not None and not _named(wants.read.dials, server.address, pair.port)) or (
            lets is not None and not _named(lets.read.admits, client.address, pair.port)
        )


@dataclass(frozen=True, slots=True)
class _Read:
    """An offer, taken apart once: it is looked at twice a second, and a sidecar may write what it
    likes into it.
    """

    own: tuple[str, str]
    """Namespace and service account of who makes it; empty for an id that is none."""
    dials: Ports
    admits: Ports

    @classmethod
    def of(cls, offer: Offer) -> "_Read":
        """Raises `ProtocolError`."""
        dials: dict[tuple[str, Address], set[int]] = {}
        admits: dict[tuple[str, Address], set[int]] = {}
        for peer in offer.peers:
            for address in _addresses(peer):
                dials.setdefault((peer.spiffe_id, address), set()).update(peer.dials)
                admits.setdefault((peer.spiffe_id, address), set()).update(peer.admits)
        try:
            own = SpiffeId.parse(offer.spiffe_id)
        except SpiffeError:
            return cls(("", ""), {}, {})
        return cls((own.namespace, own.service_account), dials, admits)

    def is_of(self, member: Member) -> bool:
        """Whether it is made in the name of the pod that it comes from."""
        return self.own == (member.key.partition("/")[0], member.service_account)


@dataclass(frozen=True, slots=True)
class _Held:
    since: float
    offer: Offer
    read: _Read


def _pairs(
    client: tuple[str, _Held],
    server: tuple[str, _Held],
    address: Address,
    dialled: AbstractSet[int],
    members: Mapping[str, Member],
) -> Iterator[Pair]:
    """What `client` may dial at an `address` of `server`."""
    (dialling, wants), (serving, lets) = client, server
    for source in members[dialling].addresses:
        if source.version != address.version:
            continue
        admitted = lets.read.admits.get((wants.offer.spiffe_id, source), frozenset())
        both = sorted(port for port in dialled & admitted if port not in OWN_PORTS)
        # As many as one peer of an offer has: two pods shall not take the room of all.
        for port in both[:MAX_PORTS]:
            yield Pair(
                _end(dialling, members[dialling], source),
                _end(serving, members[serving], address),
                port,
            )


def _named(ports: Ports, address: Address, port: int) -> bool:
    return any(port in found for (_, of), found in ports.items() if of == address)


def _end(uid: str, member: Member, address: Address) -> End:
    return End(uid, member.key, member.link, member.netns, address)


def _addresses(peer: Peer) -> frozenset[Address]:
    try:
        return frozenset(map(ip_address, peer.addresses))
    except ValueError as error:
        raise ProtocolError(Code.MALFORMED, f"offer: addresses: {error}") from error
