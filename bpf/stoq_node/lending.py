"""Lends the interface of a pod to its sidecar: AF_XDP sockets, past the kernel's stack."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from stoq.broker.lending import Lender, Lent, NotLent
from stoq_node import _kernel
from stoq_node._kernel import KernelError
from stoq_node.facts import default_interface

OFF: Final = "off"
ZERO_COPY: Final = "zero-copy"

Opener = Callable[[str, bool], _kernel.Lent]


def lender(mode: str, opener: Opener = _kernel.lend) -> Lender | None:
    """What a broker lends by; None when nothing is lent."""
    return None if mode == OFF else partial(lend, zero_copy=mode == ZERO_COPY, opener=opener)


def lend(*, zero_copy: bool, opener: Opener, interface: str = "") -> Lent:
    """The interface of the calling thread's network namespace: by its name, or that of the default
    route.

    Raises NotLent.
    """
    name = interface or default_interface(_routes("ipv6_route"), _routes("route"))
    if not name:
        raise NotLent("no AF_XDP: no interface has a default route")
    try:
        opened = opener(name, zero_copy)
    except KernelError as error:
        raise NotLent(str(error)) from error
    return Lent(
        interface=name,
        ring=opened.ring,
        chunk=opened.chunk,
        program=opened.program,
        taken=opened.taken,
        queues=tuple(opened.queues),
    )


def _routes(table: str) -> str:
    # The thread's own: /proc/net is that of the process, which is in another namespace.
    path = Path("/proc/thread-self/net") / table
    return path.read_text(encoding="ascii") if path.exists() else ""
