"""Which of the node's links leads to a pod, by the pod's addresses, whoever made it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from stoq.capture.plan import Address
from stoq_node.netlink import Link, Neighbour, Route

VETH: Final = "veth"
"""The kind of link that has its other end in a pod. Programs on any other see, and drop, what is
not that pod's."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the kernel says."""

    links: Mapping[int, Link]
    routes: Mapping[Address, Route | None]
    neighbours: tuple[Neighbour, ...] = ()
    """Of IP, and those that bridges have learnt."""


@dataclass(frozen=True, slots=True)
class Nowhere:
    """No link is the pod's, or none that is known yet."""

    why: str
    ask: tuple[tuple[Address, int], ...] = ()
    """Neighbours to look for, each behind a bridge: then it may be known."""


def place(addresses: Iterable[Address], around: Surroundings) -> Link | Nowhere:
    """The link that all of a pod's addresses are behind."""
    found = [_behind(address, around) for address in addresses]
    places = {one.index: one for one in found if isinstance(one, Link)}
    missing = [one for one in found if isinstance(one, Nowhere)]
    if len(places) == 1:
        # One address is enough: of the other family there may be no neighbour for a while.
        return next(iter(places.values()))
    if places:
        names = " and ".join(sorted(link.name for link in places.values()))
        return Nowhere(f"its addresses are behind {names}: a pod has one link")
    if not missing:
        return Nowhere("it has no address yet")
    why = dict.fromkeys(one.why for one in missing)
    return Nowhere("; ".join(why), tuple(ask for one in missing for ask in one.ask))


def _behind(address: Address, around: Surroundings) -> Link | Nowhere:
    route = around.routes.get(address)
    link = around.links.get(route.index) if route else None
    if route is None or link is None:
        return Nowhere(f"no route leads to {address}")
    if not route.direct:
        return Nowhere(f"{address} is behind a router at {link.name}, not on this node")
    if link.kind == "bridge":
        return _port(address, link, around)
    if link.kind == VETH and link.across:
        return link
    kind = link.kind or "hardware"
    return Nowhere(
        f"{address} is behind {link.name} ({kind}), which is no link of one pod: the node agent "
        "needs a network plugin that gives each pod a veth"
    )


def _port(address: Address, bridge: Link, around: Surroundings) -> Link | Nowhere:
    hardware = {
        one.hardware
        for one in around.neighbours
        if one.address == address and one.index == bridge.index
    }
    ports = {
        one.index
        for one in around.neighbours
        if one.bridge == bridge.index and one.hardware in hardware
    }
    found = [around.links[index] for index in ports if index in around.links]
    if len(found) == 1 and found[0].kind == VETH and found[0].across:
        return found[0]
    return Nowhere(f"{bridge.name} has not heard of {address}", ((address, bridge.index),))
