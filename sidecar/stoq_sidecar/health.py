"""The pages on port 14020, for Prometheus and the kubelet."""

from collections.abc import Callable
from http import HTTPStatus

from stoq.http import Request, Response, Routes, plain
from stoq_sidecar.readiness import Readiness


def routes(readiness: Readiness, render: Callable[[], bytes], content_type: str) -> Routes:
    """`/metrics`, `/healthz/ready` and `/healthz/live`; `render` gives the metrics page."""

    async def metrics(_: Request) -> Response:
        return Response(render(), content_type=content_type)

    return {("GET", "/metrics"): metrics, **probes(readiness)}


def probes(readiness: Readiness) -> Routes:
    """`/healthz/ready` and `/healthz/live`: all that there is to say before there is an engine."""

    async def ready(_: Request) -> Response:
        if readiness.ready:
            return plain("ready")
        lines = "\n".join(f"{name}: {why}" for name, why in readiness.blocking().items())
        return plain(lines, HTTPStatus.SERVICE_UNAVAILABLE)

    async def live(_: Request) -> Response:
        return plain("live")

    return {
        ("GET", "/healthz/ready"): ready,
        ("GET", "/healthz/live"): live,
    }
