"""What joining pods changes inside of them. A call enters a pod's network namespace, and blocks."""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from stoq.capture import nft, splice
from stoq.capture.netns import run_in
from stoq.capture.splice import SPLICE_MARK, Member
from stoq_node import flows
from stoq_node.flows import Flow
from stoq_node.routes import SECONDS, everything, one

PATIENCE: Final = 3.0
"""Seconds until a pod is given up that does not take what it is told: what joins others holds but a
few seconds longer (`splicing.HOLD_SECONDS`), and who is root in a pod may hold its lock.
"""

Ends = Callable[[Flow], bool]
"""Whether a connection is to be ended; it is seen from the side that opened it."""


def program(netns: str, out: Iterable[Member], into: Iterable[Member], seconds: int) -> None:
    """Lets the pod dial `out`, and be dialled by `into`, past its sidecar for so many seconds, and
    nobody else. Raises CaptureError and OSError.
    """
    run_in(netns, partial(nft.load, splice.render(out, into, seconds), PATIENCE))


def reset(netns: str, ends: Ends) -> int:
    """Ends connections past the sidecars in one pod at once: without it a program would learn only
    when it sends. Returns how many. Raises OSError where the kernel can not.
    """
    return run_in(netns, partial(_reset, ends))


def end(flow: Flow) -> int:
    """Ends a connection in the network namespace of the caller: what has a socket here of its two
    ends. Returns how many had; who listens there goes on. Raises OSError where the kernel can not.
    """
    ended = 0
    with _asking(flows.SOCK_DIAG) as kernel:
        for own in (flow, flow.back):
            with suppress(FileNotFoundError):
                answers = list(one(kernel, flows.socket_wanted(own)))
                for cookie in filter(None, (flows.cookie(*answer) for answer in answers)):
                    list(one(kernel, flows.ended(own, cookie)))
                    ended += 1
    return ended


def _reset(ends: Ends) -> int:
    found = [flow for family in (socket.AF_INET, socket.AF_INET6) for flow in _marked(family)]
    # One of the two ends is in this pod; the other is not found here.
    return sum(end(flow) for flow in found if ends(flow))


def _marked(family: int) -> Iterable[Flow]:
    with _asking(flows.NETFILTER) as kernel:
        answers = list(everything(kernel, flows.marked_wanted(family, SPLICE_MARK)))
    read = (flows.marked(*answer, SPLICE_MARK) for answer in answers)
    return [flow for flow in read if flow is not None]


def _asking(protocol: int) -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    kernel.settimeout(SECONDS)
    return kernel
