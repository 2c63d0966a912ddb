"""The control process's pages: /metrics and /healthz."""

import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from stoq.http import HttpServer, Request, Response, plain
from stoq.settings.kinds import split_host_and_port
from stoq_operator.metrics import CONTENT_TYPE, Metrics

log: Final = logging.getLogger(__name__)


def server(metrics: Metrics, missing: Callable[[], str]) -> HttpServer:
    """`missing` says what readiness still waits for; empty when nothing."""

    async def page(_request: Request) -> Response:
        return Response(metrics.page(), content_type=CONTENT_TYPE)

    async def live(_request: Request) -> Response:
        return plain("live")

    async def ready(_request: Request) -> Response:
        if why := missing():
            return plain(f"not ready: {why}", HTTPStatus.SERVICE_UNAVAILABLE)
        return plain("ready")

    return HttpServer(
        "stoq-control",
        {
            ("GET", "/metrics"): page,
            ("GET", "/healthz"): ready,
            ("GET", "/healthz/ready"): ready,
            ("GET", "/healthz/live"): live,
        },
    )


def listen(address: str) -> socket.socket:
    """A listening TCP socket; `[::]` takes IPv4 as well. Raises `OSError` that names the port."""
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
            f"cannot listen on {address} for metrics: {error.strerror}; choose another address "
            "with --metrics",
        ) from error
    return listener
