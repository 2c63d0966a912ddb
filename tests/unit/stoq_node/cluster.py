"""A node in a cluster: what the API server says of its pods, and a client that tells it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from stoq.injection.config import Config
from stoq.injection.decide import Injected, decide
from stoq_kube.apiserver import ApiError, Changed, Deleted, Event, Kind, Listed
from stoq_kube.meta import place
from support.pods import CONFIG, annotated, pod

Object = dict[str, Any]


def on_node(
    name: str,
    *addresses: str,
    made: Object | None = None,
    config: Config = CONFIG,
    **metadata: Any,
) -> Object:
    """A pod that runs, with a sidecar as the webhook puts it in."""
    outcome = decide(made or pod(), "shop", config)
    assert isinstance(outcome, Injected)
    status = {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]}
    about = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "web"}}
    return {**outcome.pod, "metadata": {**about, **metadata}, "status": status}


def wishing(name: str, *addresses: str, **annotations: str) -> Object:
    """The same, with annotations of ours when it was made."""
    return on_node(name, *addresses, made=annotated(**annotations))


class ApiServer:
    """A `Client` whose watches bring what `tell` is given, and whose requests are kept."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Object] = {}
        self.broken = ""
        self.watched: dict[str, str] = {}
        self._events: dict[str, asyncio.Queue[Event | str]] = {}

    def tell(self, kind: Kind, *events: Event | str) -> None:
        """A text is why the watch brings nothing."""
        for event in events:
            self._queue(kind).put_nowait(event)

    def list(self, kind: Kind, *objects: Object) -> None:
        self.tell(kind, *map(Changed, objects), Listed(frozenset(map(place, objects))))

    def delete(self, kind: Kind, gone: Object) -> None:
        self.tell(kind, Deleted(gone))

    async def watch(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        name: str = "",
        node: str = "",
        report: Callable[[str], None] | None = None,
    ) -> AsyncIterator[Event]:
        self.watched[kind.plural] = node
        while True:
            event = await self._queue(kind).get()
            if report is not None:
                report(event if isinstance(event, str) else "")
            if not isinstance(event, str):
                yield event

    async def request(
        self, method: str, path: str, body: object = None, *, media: str = "application/json"
    ) -> Object:
        if self.broken:
            raise ApiError(self.broken, 403)
        self.requests.append((method, path, body))
        return self.answers.get(path.partition("?")[0], {"metadata": {}})

    def _queue(self, kind: Kind) -> "asyncio.Queue[Event | str]":
        return self._events.setdefault(kind.plural, asyncio.Queue())
