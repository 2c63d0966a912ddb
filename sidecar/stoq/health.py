"""The pages of programs that run beside a mesh, not in its pods: /metrics and /healthz."""

import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from stoq.http import HttpServer, Request, Response, plain
from stoq.settings.kinds import split_host_and_port

log: Final = logging.getLogger(__name__)


CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format."""


def server(name: str, metrics: Callable[[], bytes], missing: Callable[[], str]) -> HttpServer:
    """`name` is the program's, for logs; `metrics` renders /metrics; `missing` says what readiness
    still waits for, and nothing when it waits no more.
    """

    async def page(_request: Request) -> Response:
        return Response(metrics(), content_type=CONTENT_TYPE)

    async def live(_request: Request) -> Response:
        return plain("live")

    async def ready(_request: Request) -> Response:
        if why := missing():
            return plain(f"not ready: {why}", HTTPStatus.SERVICE_UNAVAILABLE)
        return plain("ready")

    return HttpServer(
        name,
        {
            ("GET", "/metrics"): page,
            ("GET", "/healthz"): ready,
            ("GET", "/healthz/ready"): ready,
            ("GET", "/healthz/live"): live,
        },
    )


def listen(address: str, option: str) -> socket.socket:
    """A listening TCP socket; `[::]` takes IPv4 as well. Raises `OSError` that names the port, and
    `option` as what chooses another.
    """
    host, port = split_host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno,
            f"cannot listen on {address}: {error.strerror}; choose another address with {option}",
        ) from error
    return listener
