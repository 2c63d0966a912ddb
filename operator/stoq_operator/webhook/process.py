"""Wires the webhook together and runs it until it is told to stop."""

import asyncio
import gc
import logging
import time
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from stoq import health
from stoq.http import HttpServer, Limits, Request, Response, plain
from stoq_kube.apiserver import ApiError
from stoq_operator.webhook.certificate import CertificateError, Serving, from_secret
from stoq_operator.webhook.followed import Cluster
from stoq_operator.webhook.metrics import Metrics
from stoq_operator.webhook.notices import Notice, Said
from stoq_operator.webhook.review import ReviewError, answer
from stoq_operator.webhook.settings import Settings

log: Final = logging.getLogger("stoq.webhook")

LIMITS: Final = Limits(body=8 << 20, connections=512, seconds=10.0, idle_seconds=120.0)
"""An AdmissionReview holds a pod of at most 3 MB (the API server's own limit for a request) as JSON
of the server's making; API servers keep their connections for 90 s."""

MAX_WAITING: Final = 256
"""Events waiting to be written; more are dropped and counted."""

GRACE_SECONDS: Final = 3.0
"""How long requests are still answered after SIGTERM: until every node has taken the pod out of the
Service."""


class Webhook:
    """Answers the API server from memory."""

    def __init__(self, settings: Settings) -> None:
        self._config = settings.config
        self.metrics = Metrics()
        self.serving = Serving()
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._said = Said()
        self._notices: asyncio.Queue[Notice] = asyncio.Queue(MAX_WAITING)
        self._ending = False

    def end(self) -> None:
        """From now on not ready, and still answering."""
        self._ending = True

    def missing(self) -> str:
        """What readiness waits for; empty when nothing."""
        if self._ending:
            return "it is ending"
        return "" if self.serving.ready else "there is no certificate yet: the operator makes it"

    def certificate(self, data: Mapping[str, bytes]) -> None:
        """Takes the data of the Secret into use."""
        try:
            if self.serving.load(*from_secret(data)):
                log.info("a new certificate is served")
        except CertificateError as error:
            log.error("the certificate before stays in use: %s", error)

    async def inject(self, request: Request) -> Response:
        """POST /inject."""
        began = time.perf_counter()
        try:
            found = answer(request.body, self._config, self.namespaces)
        except ReviewError as error:
            self.metrics.injection("error", "request", time.perf_counter() - began)
            log.warning("refused a request from %s: %s", request.client, error)
            return plain(str(error), HTTPStatus.BAD_REQUEST)
        self.metrics.injection(found.outcome, found.reason, time.perf_counter() - began)
        if found.notice is not None and not self._said.again(found.notice, time.monotonic()):
            log.warning("%s", found.notice.message)
            try:
                self._notices.put_nowait(found.notice)
            except asyncio.QueueFull:
                self.metrics.event("dropped")
        return Response(found.body, content_type="application/json")

    async def write_notices(self, cluster: Cluster) -> None:
        """Writes events as they come; forever."""
        while True:
            found = await self._notices.get()
            try:
                await cluster.write_event(found.event(datetime.now(UTC)))
                self.metrics.event("written")
            except ApiError as error:
                self.metrics.event("failed")
                log.warning("%s", error)

    def pages(self) -> HttpServer:
        """/metrics and /healthz, without TLS."""
        return health.server("stoq-webhook", self.metrics.page, self.missing)


async def serve(
    settings: Settings,
    cluster: Cluster,
    stop: asyncio.Event,
    *beside: Coroutine[None, None, None],
) -> None:
    """Runs the webhook, and what it needs `beside`, until `stop` is set. Raises OSError when a port
    is taken.
    """
    webhook = Webhook(settings)
    listener = health.listen(settings.listen.address, "STOQ_LISTEN_ADDRESS")
    pages = health.listen(settings.listen.pages, "STOQ_LISTEN_PAGES")
    server = HttpServer(
        "stoq-webhook", {("POST", "/inject"): webhook.inject}, LIMITS, webhook.serving.context
    )
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(task)
            for task in (
                server.serve([listener]),
                webhook.pages().serve([pages]),
                cluster.follow_certificate(webhook.certificate),
                cluster.follow_namespaces(webhook.namespaces),
                webhook.write_notices(cluster),
                *beside,
            )
        ]
        # What was imported stays: looking through it takes as long as a review may.
        gc.collect()
        gc.freeze()
        log.info("webhook on TCP %s, pages on %s", settings.listen.address, settings.listen.pages)
        await stop.wait()
        webhook.end()
        log.info("stopping")
        await asyncio.sleep(GRACE_SECONDS)
        for task in running:
            task.cancel()
