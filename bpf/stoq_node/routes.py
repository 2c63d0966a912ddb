"""Asks the kernel of this network namespace what `placing` decides on."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from stoq.capture.plan import Address
from stoq_node import links, netlink
from stoq_node.netlink import Neighbour, Route
from stoq_node.placing import Surroundings

SECONDS: Final = 2.0
"""That the kernel, which answers at once, may take."""

KUBE_IPVS: Final = "kube-ipvs0"

_BUFFER: Final = 1 << 16


def look(addresses: Iterable[Address]) -> Surroundings:
    """What is around these addresses. Raises OSError."""
    with asking() as kernel:
        known = {
            found.index: found
            for message in everything(kernel, netlink.links_wanted())
            if (found := netlink.link(*message))
        }
        routes = {address: _route(kernel, address) for address in addresses}
        bridged = any(
            route and route.index in known and known[route.index].kind == "bridge"
            for route in routes.values()
        )
        return Surroundings(known, routes, tuple(_neighbours(kernel)) if bridged else ())


def own() -> frozenset[Address]:
    """All addresses of this node, but those of Services that kube-proxy gives it in mode ipvs.

    Raises OSError.
    """
    services = links.names().get(KUBE_IPVS)
    with asking() as kernel:
        found = [
            netlink.address(*message) for message in everything(kernel, netlink.addresses_wanted())
        ]
    return frozenset(one[1] for one in found if one and one[0] != services)


def seek(asked: Iterable[tuple[Address, int]]) -> None:
    """Has the kernel look for neighbours, each behind an interface. Needs CAP_NET_ADMIN. One that
    cannot be looked for now is left for later.
    """
    with asking() as kernel:
        for address, index in asked:
            with suppress(OSError):
                for _ in one(kernel, netlink.neighbour_sought(address, index)):
                    pass


def asking() -> socket.socket:
    """A socket to ask on, in the network namespace of the calling thread."""
    kernel = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    kernel.settimeout(SECONDS)
    return kernel


def _route(kernel: socket.socket, address: Address) -> Route | None:
    try:
        for message in one(kernel, netlink.route_wanted(address)):
            return netlink.route(*message)
    except TimeoutError:
        raise
    except OSError:
        pass  # There is none.
    return None


def _neighbours(kernel: socket.socket) -> Iterator[Neighbour]:
    for bridges in (False, True):
        for message in everything(kernel, netlink.neighbours_wanted(bridges=bridges)):
            if found := netlink.neighbour(*message):
                yield found


def one(kernel: socket.socket, question: bytes) -> Iterator[tuple[int, bytes]]:
    """What is said to a question that has one answer. Raises OSError."""
    kernel.send(question)
    yield from netlink.messages(kernel.recv(_BUFFER))


def everything(kernel: socket.socket, question: bytes) -> Iterator[tuple[int, bytes]]:
    """What is said to a question that has many. Raises OSError."""
    kernel.send(question)
    while True:
        for kind, content in netlink.messages(kernel.recv(_BUFFER)):
            if kind == netlink.DONE:
                return
            yield kind, content
