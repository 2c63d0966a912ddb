"""Which file of the node stands for the network namespace of a pod.

Runtimes keep the namespaces of their pods as files: containerd and CRI-O in /run/netns, under names
that say nothing. The kernel numbers the namespaces that links of this one lead to, tells the number
of a link's other end, and the number of a namespace that is open: so the two are matched without
entering one.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stoq.capture import addresses
from stoq.capture.netns import run_in
from stoq.capture.plan import Address
from stoq_node import netlink
from stoq_node.netlink import Link
from stoq_node.routes import asking, everything, one


class NotThere(Exception):
    """The namespace of a pod is not found; the text says why."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A pod's, and what holds in it."""

    path: str
    gateways: tuple[Address, ...] = ()
    """Of its default routes."""


Look = Callable[[str, Mapping[int, Iterable[Address]]], Mapping[int, Namespace | NotThere]]
"""What `look` does."""


def look(folder: str, wanted: Mapping[int, Iterable[Address]]) -> dict[int, Namespace | NotThere]:
    """The namespaces in `folder` that links lead to: by the link's index, whose other end has the
    addresses. Blocks. Raises OSError when the kernel does not tell, or the folder cannot be read.
    """
    with asking() as kernel:
        links = {
            found.index: found
            for message in everything(kernel, netlink.links_wanted())
            if (found := netlink.link(*message))
        }
        files = dict(_numbered(kernel, Path(folder)))
    return {
        index: _verified(match(links.get(index), files, folder), tuple(addresses_))
        for index, addresses_ in wanted.items()
    }


def match(link: Link | None, files: Mapping[int, str], folder: str) -> str | NotThere:
    """The file of the namespace that `link` leads to; `files` are those of `folder` by the number
    of their namespace. Pure.
    """
    if link is None:
        return NotThere("its link is gone")
    if link.namespace < 0:
        return NotThere(f"{link.name} does not lead into another network namespace")
    path = files.get(link.namespace)
    if path is None:
        return NotThere(
            f"no file of {folder} stands for the network namespace behind {link.name}: the node "
            "agent knows namespaces as containerd and CRI-O keep them; name the folder of this "
            "node's runtime (chart: node.namespaces)"
        )
    return path


def _verified(path: str | NotThere, wanted: tuple[Address, ...]) -> Namespace | NotThere:
    """What holds in a namespace, if it is the right one: a number is given again to another when
    its namespace is gone.
    """
    if isinstance(path, NotThere):
        return path
    try:
        own, gateways = run_in(path, lambda: (addresses.own_addresses(), addresses.gateways()))
    except OSError as error:
        return NotThere(str(error))
    if not set(own) & set(wanted):
        has, should = (" and ".join(map(str, some)) or "none" for some in (own, wanted))
        return NotThere(f"the pod's address is {should}; {path} has {has}")
    return Namespace(path, tuple(gateways))


def _numbered(kernel: socket.socket, folder: Path) -> Iterator[tuple[int, str]]:
    for path in sorted(folder.iterdir()):
        # One that goes away meanwhile, or is no namespace: what it stood for has ended.
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                for message in one(kernel, netlink.namespace_wanted(descriptor)):
                    if (number := netlink.namespace(*message)) >= 0:
                        yield number, str(path)
            finally:
                os.close(descriptor)
