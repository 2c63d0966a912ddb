"""The interfaces of this network namespace, and word of every change of them."""

import errno
import socket
from typing import Final

RTMGRP_LINK: Final = 1
"""linux/rtnetlink.h: interfaces come, change and go."""


def names() -> dict[str, int]:
    """Index by name."""
    return {name: index for index, name in socket.if_nameindex()}


def news() -> socket.socket:
    """A socket that becomes readable when an interface comes, changes or goes."""
    listening = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    listening.bind((0, RTMGRP_LINK))
    return listening


def drain(listening: socket.socket) -> None:
    """Takes all that `news` has. That there was something is what counts, also if it was more than
    the socket could hold.
    """
    while True:
        try:
            listening.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
