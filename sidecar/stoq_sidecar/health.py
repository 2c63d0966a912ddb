"""The pages on port 14020, for Prometheus and the kubelet."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from stoq import plaintext
from stoq.http import Request, Response, Routes, plain
from stoq_sidecar.readiness import Readiness

LONGEST_WAIT: Final = 5.0
"""Seconds for which an answer may be held back: less than the server gives one exchange."""


def routes(
    readiness: Readiness,
    render: Callable[[], bytes],
    content_type: str,
    figures: Callable[[], bytes],
) -> Routes:
    """`/metrics`, `/plaintext`, `/healthz/ready` and `/healthz/live`; `render` gives the metrics
    page, `figures` what `stoq.plaintext` specifies.
    """

    async def metrics(_: Request) -> Response:
        return Response(render(), content_type=content_type)

    async def sent(_: Request) -> Response:
        return Response(figures(), content_type="application/json")

    return {("GET", "/metrics"): metrics, ("GET", plaintext.PATH): sent, **probes(readiness)}


def probes(readiness: Readiness) -> Routes:
    """`/healthz/ready` and `/healthz/live`: all that there is to say before there is an engine.

    Not ready yet, `/healthz/ready?wait=SECONDS` holds its answer back for as long, so that whoever
    asks now and then knows at once.
    """

    async def ready(request: Request) -> Response:
        wait = _seconds(request.query.get("wait", "0"))
        if wait is None:
            return plain(f"wait: use seconds from 0 to {LONGEST_WAIT:g}", HTTPStatus.BAD_REQUEST)
        await readiness.wait(wait)
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


def _seconds(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= LONGEST_WAIT else None
