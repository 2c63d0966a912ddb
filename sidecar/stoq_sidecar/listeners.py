"""The agent's own TCP listeners: administration on loopback, metrics and health everywhere."""

import socket
from dataclasses import dataclass
from typing import Final

from stoq import constants

BACKLOG: Final = 64


@dataclass(frozen=True, slots=True)
class Pages:
    """All of them."""

    administration: list[socket.socket]
    everywhere: socket.socket

    def close(self) -> None:
        """Closes them; those that a server has closed already, too."""
        for one in (*self.administration, self.everywhere):
            one.close()


def pages(*, ipv6: bool) -> Pages:
    """The listeners. Raises OSError naming the port that is taken."""
    return Pages(admin_listeners(ipv6=ipv6), metrics_listener(ipv6=ipv6))


def admin_listeners(*, ipv6: bool) -> list[socket.socket]:
    """Sockets on the loopback addresses of port 14000. Raises OSError naming the port."""
    hosts = ["127.0.0.1", *(["::1"] if ipv6 else [])]
    return [_listen(host, constants.ADMIN_PORT) for host in hosts]


def metrics_listener(*, ipv6: bool) -> socket.socket:
    """A socket on every address of port 14020. Raises OSError naming the port."""
    return _listen("::" if ipv6 else "0.0.0.0", constants.METRICS_PORT)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::"
        )
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot listen on {host} port {port}: {error.strerror}; the port belongs to STOQ: "
            "is a second sidecar running in this pod, or does a container use it?",
        ) from error
