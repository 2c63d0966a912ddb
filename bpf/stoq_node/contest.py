"""Measures STOQ past the kernel's stack beside STOQ by its sockets, at the start of an agent that
is to choose: over veths between network namespaces made for it, with engines of their own.

    python -m stoq_node.contest

prints the figures as one JSON object. It takes what lending takes (CAP_NET_RAW, CAP_IPC_LOCK), and
CAP_SYS_ADMIN for namespaces.
"""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import IPv6Address
from typing import Final, TypeVar

import msgspec

from stoq.broker.lending import NotLent
from stoq.capture.netns import run_in, run_in_new
from stoq.capture.plan import Address
from stoq.engine.settings import AfXdp
from stoq_node import _kernel, netlink
from stoq_node.lending import lend
from stoq_node.measuring import NotMeasured
from stoq_node.routes import asking, one
from stoq_node.speeds import Measured, middle
from stoq_node.stretch import End, Identities, Stretch, Where, stretch

T = TypeVar("T")

ROUNDS: Final = 5
"""Of each way, in turns, after one that does not count."""

CLIENT: Final = IPv6Address("fd00:10::1")
SERVER: Final = IPv6Address("fd00:10::2")
SERVICE: Final = IPv6Address("fd00:aa::53")
INTERFACE: Final = "eth0"


def compete(sockets: Stretch, past: Stretch) -> Measured:
    """Both in turns. Raises OSError; NotMeasured where a way was not the one that it should be."""
    for way in (sockets, past):
        way.once()
    rounds = [(sockets.once(), past.once()) for _ in range(ROUNDS)]
    (datagrams, none), (_, frames) = sockets.sent, past.sent
    if none or not datagrams or not frames:
        raise NotMeasured(
            f"{frames} frames went past the stack where it was lent, {none} where it was not, and "
            f"{datagrams} datagrams by sockets"
        )
    return Measured(
        sockets=middle([by for by, _ in rounds]), af_xdp=middle([past_ for _, past_ in rounds])
    )


def main() -> int:
    """Measures, prints, and returns the exit status."""
    try:
        identities = Identities()
        with _over_veth(identities, lent=False) as sockets, _over_veth(identities, lent=True) as x:
            found = compete(sockets, x)
    except (NotLent, NotMeasured, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{msgspec.json.encode(found).decode()}\n")
    return 0


@contextmanager
def _over_veth(identities: Identities, *, lent: bool) -> Iterator[Stretch]:
    """Engines at both ends of a veth. Each way has its own: a program on one changes what the
    kernel does for its other end.
    """
    with ExitStack() as stack:
        ends = []
        namespaces = [run_in_new(_opened) for _ in range(2)]
        for namespace in namespaces:
            stack.callback(os.close, namespace)
        run_in(namespaces[0], partial(_joined, namespaces[1]))
        for namespace, addresses in zip(
            namespaces, ({INTERFACE: CLIENT, "lo": SERVICE}, {INTERFACE: SERVER}), strict=True
        ):
            run_in(namespace, partial(_up, addresses))
            ends.append(End(_inside(namespace), addresses[INTERFACE], _lent if lent else None))
        yield stack.enter_context(stretch(ends[0], ends[1], SERVICE, identities))


def _inside(namespace: int) -> Where:
    def call(function: Callable[[], T]) -> T:
        return run_in(namespace, function)

    return call


def _opened() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _joined(other: int) -> None:
    """Makes a veth from this namespace to that one."""
    with asking() as kernel:
        for _ in one(kernel, netlink.veth(INTERFACE, other)):
            pass


def _up(addresses: Mapping[str, Address]) -> None:
    """Both interfaces up, and with these addresses."""
    with asking() as kernel:
        for name in (INTERFACE, "lo"):
            index = socket.if_nametoindex(name)
            for _ in one(kernel, netlink.link_set(index, up=True, alias="")):
                pass
            if name in addresses:
                for _ in one(kernel, netlink.address_added(index, addresses[name])):
                    pass


def _lent() -> AfXdp:
    return AfXdp.of(lend(zero_copy=False, opener=_kernel.lend, interface=INTERFACE))


if __name__ == "__main__":
    sys.exit(main())
