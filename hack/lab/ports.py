"""Ports of loopback for programs that must know theirs before they listen."""

import socket
from itertools import count

FIRST = 20_000
"""Far below what the kernel gives to whoever names no port (from 32,768 on by default): none of
those sockets, of programs beside this one or of anybody, gets ours between now and its use.
"""

_untried = count(FIRST)


def free_port() -> int:
    """A port, of UDP and of TCP, that no other call returns while this process lives, not even one
    in another process.
    """
    while True:
        port = next(_untried)
        if _claimed(port) and _unused(port):
            return port


def _claimed(port: int) -> bool:
    """Whether the port is now ours among those who ask here, as long as we live."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        # Names without a file belong to the network namespace, as ports do.
        claim.bind(f"\0stoq-test-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


def _unused(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET6, kind) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                probe.bind(("::", port))
            except OSError:
                return False
    return True
