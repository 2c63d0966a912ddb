"""What the webhook reads from the API server, and the events that it writes there."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from kubernetes.aio import client, config

from stoq import constants

log: Final = logging.getLogger("stoq.webhook.kube")

TLS_SECRET: Final = "stoq-webhook-tls"  # noqa: S105
"""Made and renewed by the operator's leader."""

WATCH_SECONDS: Final = 290
"""Life of one watch; then it is begun anew from a list, so that nothing missed stays so."""

QUIET_SECONDS: Final = WATCH_SECONDS + 30.0
"""Silence after which a connection counts as lost."""

RETRY_SECONDS: Final = (0.5, 30.0)
"""First and longest wait after the API server did not answer; doubled in between."""

Object = dict[str, Any]
Call = Callable[..., Awaitable[aiohttp.ClientResponse]]


class KubeError(Exception):
    """The API server was not reached or refused; the text says which."""


@asynccontextmanager
async def connected() -> AsyncIterator["Kube"]:
    """A connection as KUBECONFIG says, else as a pod. Raises `KubeError`."""
    try:
        await config.load_config()  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise KubeError(f"no cluster to talk to: {error}") from error
    async with client.ApiClient() as api:
        yield Kube(client.CoreV1Api(api))


class Kube:
    """The API server as the webhook sees it."""

    def __init__(self, core: client.CoreV1Api) -> None:
        self._core = core

    async def follow_certificate(self, changed: Callable[[Mapping[str, bytes]], None]) -> None:
        """Calls `changed` with the data of the Secret, now and whenever it changes; forever. A
        Secret that is deleted changes nothing.
        """

        def put(_name: str, found: Object | None) -> None:
            if found is not None:
                data = found.get("data") or {}
                changed({name: base64.b64decode(value) for name, value in data.items()})

        await self._follow(
            self._core.list_namespaced_secret_without_preload_content,
            put,
            namespace=constants.SYSTEM_NAMESPACE,
            field_selector=f"metadata.name={TLS_SECRET}",
        )

    async def follow_namespaces(self, labels: dict[str, Mapping[str, str]]) -> None:
        """Keeps the labels of every namespace in `labels`; forever."""

        def put(name: str, found: Object | None) -> None:
            if found is None:
                labels.pop(name, None)
            else:
                labels[name] = found["metadata"].get("labels") or {}

        await self._follow(self._core.list_namespace_without_preload_content, put)

    async def write_event(self, event: Object) -> None:
        """Raises `KubeError`."""
        try:
            answer = await self._core.create_namespaced_event_without_preload_content(
                event["metadata"]["namespace"],
                event,  # type: ignore[arg-type]  # it takes a dict, and drops nothing of it
                _request_timeout=5.0,
            )
            text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, client.ApiException) as error:
            raise KubeError(f"the event was not written: {error!r}") from error
        if answer.status >= 400:
            raise KubeError(f"the event was refused: {answer.status}: {text[:200]}")

    async def _follow(
        self, call: Call, put: Callable[[str, Object | None], None], **arguments: Any
    ) -> None:
        wait, longest = RETRY_SECONDS
        while True:
            try:
                await self._list_and_watch(call, put, arguments)
                wait = RETRY_SECONDS[0]
            except (
                KubeError,
                aiohttp.ClientError,
                TimeoutError,
                ValueError,
                client.ApiException,
            ) as error:
                log.warning("not following %s: %s", call.__name__, error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, longest)

    async def _list_and_watch(
        self, call: Call, put: Callable[[str, Object | None], None], arguments: Object
    ) -> None:
        """One list and one watch from it. What was deleted meanwhile stays known: nobody asks for
        a namespace that is gone.
        """
        answer = await call(**arguments, _request_timeout=QUIET_SECONDS)
        _check(answer)
        listing = json.loads(await answer.read())
        for item in listing["items"]:
            put(item["metadata"]["name"], item)
        version = listing["metadata"]["resourceVersion"]
        stream = await call(
            **arguments,
            watch=True,
            resource_version=version,
            timeout_seconds=WATCH_SECONDS,
            _request_timeout=QUIET_SECONDS,
        )
        _check(stream)
        async for line in stream.content:
            event = json.loads(line)
            found = event["object"]
            if event["type"] == "ERROR":
                raise KubeError(f"the watch ended: {found.get('message')}")
            put(found["metadata"]["name"], None if event["type"] == "DELETED" else found)


def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        answer.close()
        raise KubeError(f"the API server answered {answer.status} {answer.reason}")
