"""Lends the interface of a pod to its sidecar: AF_XDP sockets, past the kernel's stack."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from stoq.broker.lending import Lender, Lent, NotLent
from stoq_node import _kernel
from stoq_node._kernel import KernelError
from stoq_node.facts import default_interface, described

OFF: Final = "off"
AUTO: Final = "auto"
ZERO_COPY: Final = "zero-copy"

MEASURED: Final = "veth"
"""The driver of the interfaces that a choice is made for: it is what is measured."""

Opener = Callable[[str, bool], _kernel.Lent]


def lender(mode: str, opener: Opener = _kernel.lend) -> Lender | None:
    """What a broker lends by; None when nothing is lent. `auto` is for where it was measured to be
    faster.
    """
    if mode == OFF:
        return None
    driver = MEASURED if mode == AUTO else ""
    return partial(lend, zero_copy=mode == ZERO_COPY, opener=opener, driver=driver)


def lend(*, zero_copy: bool, opener: Opener, interface: str = "", driver: str = "") -> Lent:
    """The interface of the calling thread's network namespace: by its name, or that of the default
    route; with `driver`, if that is its driver.

    Raises NotLent.
    """
    name = interface or default_interface(_routes("ipv6_route"), _routes("route"))
    if not name:
        raise NotLent("no AF_XDP: no interface has a default route")
    if driver and (found := described(name).driver) != driver:
        raise NotLent(
            f"{name}: no AF_XDP: the agent has measured a {driver}, and this is driven by "
            f"{found or 'nothing that says so'}; STOQ_AF_XDP_MODE copy or zero-copy lends it unseen"
        )
    try:
        opened = opener(name, zero_copy)
    except KernelError as error:
        raise NotLent(str(error)) from error
    return Lent(
        interface=name,
        ring=opened.ring,
        chunk=opened.chunk,
        scattered=opened.scattered,
        left=opened.left and f"{name}: {opened.left}",
        program=opened.program,
        taken=opened.taken,
        queues=tuple(opened.queues),
    )


def _routes(table: str) -> str:
    # The thread's own: /proc/net is that of the process, which is in another namespace.
    path = Path("/proc/thread-self/net") / table
    return path.read_text(encoding="ascii") if path.exists() else ""
