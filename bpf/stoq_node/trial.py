"""Tries capture and AF_XDP in network namespaces made for it, which nobody is in.

No list of kernel modules and capabilities knows what a node allows as well as the kernel does, and
it is better known before the first pod waits.
"""

import fcntl
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from stoq.broker import channel, sockets
from stoq.broker.lending import NotLent
from stoq.capture import force
from stoq.capture.netns import run_in_new
from stoq.capture.nft import CaptureError
from stoq.capture.plan import Plan
from stoq_node import _kernel
from stoq_node.capabilities import CAPTURES
from stoq_node.lending import AUTO, OFF, Opener, lend
from stoq_node.measuring import NotMeasured, measured
from stoq_node.speeds import Measured, faster, told

# linux/sockios.h, linux/if.h, netdevice(7).
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFMTU: Final = 0x8922
_UP: Final = 1

T = TypeVar("T")


def tried(folder: str) -> Mapping[str, str] | None:
    """What capture in pods lacks, by part (`CAPTURES`); None where none is asked for.

    `folder` is where the runtime keeps the network namespaces of pods, empty if this agent captures
    in none. Blocks.
    """
    if not folder:
        return None
    if not Path(folder).is_dir():
        why = (
            f"STOQ_CAPTURE_NAMESPACES is {folder!r}, which is no folder: name the one where this "
            "node's runtime keeps the network namespaces of pods (chart: node.namespaces)"
        )
        return dict.fromkeys(CAPTURES, why)
    try:
        settled = _alone(partial(force.settle, Plan(client_address=True)))
    except (CaptureError, OSError) as error:
        return dict.fromkeys(CAPTURES, _why(error))
    lacking = zip(CAPTURES, ("", settled.lacking, _udp()), strict=True)
    return {part: why for part, why in lacking if why}


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether interfaces of pods are lent."""

    lacking: str | None
    """Why not, empty if they are; None where they are not to be."""
    measured: Measured | None = None
    """What was measured, if the agent was to choose and could."""

    @property
    def chosen(self) -> str:
        """The figures in words, where interfaces are lent because of them."""
        return told(self.measured) if self.measured and not self.lacking else ""


def choice(
    mode: str,
    folder: str,
    opener: Opener = _kernel.lend,
    measure: Callable[[], Measured] = measured,
) -> Choice:
    """Whether interfaces of pods are lent: in mode `auto` where that is possible and measured to be
    faster. Arguments as of `lacking_af_xdp`. Blocks, about a second where it measures.
    """
    why = lacking_af_xdp(mode, folder, opener)
    if mode != AUTO or why:
        return Choice(why)
    try:
        found = measure()
    except NotMeasured as error:
        return Choice(f"it could not be measured, so sockets are used: {error}")
    return Choice("" if faster(found) else f"sockets are the better choice: {told(found)}", found)


def lacking_af_xdp(mode: str, folder: str, opener: Opener = _kernel.lend) -> str | None:
    """Why no pod's interface can be lent, empty if it can; None where none is to be. `folder` as
    for `tried`. Blocks.
    """
    if mode == OFF:
        return None
    if not folder:
        return (
            "only an agent that captures passes sockets: set STOQ_CAPTURE_NAMESPACES (chart: "
            "capture.mode=node), or STOQ_AF_XDP_MODE to off"
        )

    def try_it() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            # As much as a pod's: the loopback device's own packets fit no chunk.
            fcntl.ioctl(any_socket, _SIOCSIFMTU, struct.pack("16si20x", b"lo", 1500))
        # Which never does without copies; a pod's may, and says so when it is asked.
        channel.close(lend(zero_copy=False, opener=opener, interface="lo").descriptors)

    try:
        _alone(try_it)
    except (NotLent, OSError) as error:
        return _why(error)
    return ""


def _udp() -> str:
    def try_it() -> None:
        force.apply(Plan(udp=True))
        sockets.close_all(sockets.open_udp(1))

    try:
        _alone(try_it)
    except (CaptureError, OSError) as error:
        return _why(error)
    return ""


def _why(error: CaptureError | NotLent | OSError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _alone(function: Callable[[], T]) -> T:
    """Calls it in a namespace that is like a pod's: its loopback device is up."""

    def with_loopback() -> T:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            try:
                fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _UP))
            except PermissionError as error:
                raise PermissionError(error.errno, "capture takes CAP_NET_ADMIN") from error
        return function()

    return run_in_new(with_loopback)
