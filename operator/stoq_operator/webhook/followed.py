"""What the webhook follows in the cluster, and the events that it writes there."""

import base64
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from stoq import constants
from stoq_kube.apiserver import EVENTS, NAMESPACES, SECRETS, Changed, Client, Deleted

log: Final = logging.getLogger("stoq.webhook.followed")

TLS_SECRET: Final = "stoq-webhook-tls"  # noqa: S105
"""Made and renewed by the operator's leader."""


class Cluster:
    """The API server as the webhook sees it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def follow_certificate(self, changed: Callable[[Mapping[str, bytes]], None]) -> None:
        """Calls `changed` with the data of the Secret, now and whenever it changes; forever. A
        Secret that is deleted changes nothing.
        """
        async for event in self._client.watch(
            SECRETS, namespace=constants.SYSTEM_NAMESPACE, name=TLS_SECRET, report=_report
        ):
            if isinstance(event, Changed):
                data = event.object.get("data") or {}
                changed({name: base64.b64decode(value) for name, value in data.items()})

    async def follow_namespaces(self, labels: dict[str, Mapping[str, str]]) -> None:
        """Keeps the labels of every namespace in `labels`; forever. One that was deleted while the
        API server was away stays known: nobody asks for it.
        """
        async for event in self._client.watch(NAMESPACES, report=_report):
            if isinstance(event, Changed | Deleted):
                found = event.object["metadata"]
                if isinstance(event, Deleted):
                    labels.pop(found["name"], None)
                else:
                    labels[found["name"]] = found.get("labels") or {}

    async def write_event(self, event: Mapping[str, Any]) -> None:
        """Raises `ApiError`."""
        await self._client.request("post", EVENTS.path("", event["metadata"]["namespace"]), event)


def _report(why: str) -> None:
    if why:
        log.warning("%s; trying again", why)
