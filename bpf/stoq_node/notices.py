"""Events about pods that the node agent does not serve or cannot enforce, or that bypass their
sidecars.
"""

import logging
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from stoq_kube.apiserver import EVENTS, ApiError, Client

log: Final = logging.getLogger("stoq.node")

NOT_CAPTURED: Final = "NotCaptured"
NOT_ENFORCED: Final = "NotEnforced"
BYPASSED: Final = "Bypassed"
"""Reasons of Events."""

MAX_MESSAGE: Final = 1024
"""Bytes of an event's message that the API server takes."""


class Named(Protocol):
    """A pod, as far as an Event names it."""

    @property
    def uid(self) -> str:
        """The API server's."""

    @property
    def namespace(self) -> str:
        """Where it is."""

    @property
    def name(self) -> str:
        """What it is called there."""


class Notices:
    """Says each thing once about a pod, all for one reason."""

    def __init__(self, client: Client, reason: str) -> None:
        self._client = client
        self._reason = reason
        self._said: dict[str, str] = {}

    async def say(self, pod: Named, why: str) -> None:
        """Writes an Event, if it was not written last. One that the API server does not take is
        logged, and not tried again: there are metrics that say the same.
        """
        if self._said.get(pod.uid) == why:
            return
        self._said[pod.uid] = why
        body = event(pod, self._reason, why, datetime.now(UTC))
        try:
            await self._client.request("post", EVENTS.path("", pod.namespace), body)
        except ApiError as error:
            log.error("no Event about %s/%s: %s", pod.namespace, pod.name, error)

    def forget(self, uids: set[str]) -> None:
        """Those pods are gone, or served."""
        for uid in uids & self._said.keys():
            del self._said[uid]


def event(pod: Named, reason: str, message: str, now: datetime) -> dict[str, Any]:
    """As the API server takes it (core/v1 Event). Pure."""
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "stoq-node-", "namespace": pod.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
        },
        "reason": reason,
        "message": message[:MAX_MESSAGE],
        "type": "Warning",
        "source": {"component": "stoq-node"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
