"""An API server in memory for a whole operator: objects, their versions, and watches of them."""

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

from stoq_kube.apiserver import APPLY, ApiError, Changed, Deleted, Event, Kind, Listed
from stoq_kube.meta import place

Object = dict[str, Any]


class ApiServer:
    """A `Client`. `objects` are by the path of their URL."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self._versions = itertools.count(1)
        self._watches: list[tuple[str, str, str, asyncio.Queue[Event]]] = []

    async def run(self) -> None:
        """Has nothing to do of its own."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Has no connections."""

    def put(self, path: str, item: Object) -> Object:
        """Keeps an object, and tells whoever watches it."""
        before = self.objects.get(path)
        uid = before["metadata"]["uid"] if before else f"uid-{next(self._versions)}"
        kept = copy.deepcopy(item)
        kept["metadata"] |= {"uid": uid, "resourceVersion": str(next(self._versions))}
        self.objects[path] = kept
        self._tell(path, Changed(kept))
        return copy.deepcopy(kept)

    def delete(self, path: str) -> None:
        """Removes an object, and tells whoever watches it."""
        self._tell(path, Deleted(self.objects.pop(path)))

    def of(self, plural: str) -> list[Object]:
        """All objects of a kind."""
        return [item for path, item in self.objects.items() if path.split("/")[-2] == plural]

    async def watch(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        name: str = "",
        node: str = "",
        report: Callable[[str], None] | None = None,
    ) -> AsyncIterator[Event]:
        events: asyncio.Queue[Event] = asyncio.Queue()
        self._watches.append((kind.plural, namespace, name, events))
        there = [
            copy.deepcopy(item)
            for path, item in self.objects.items()
            if _meant(path, kind.plural, namespace, name)
        ]
        for item in there:
            yield Changed(item)
        yield Listed(frozenset(map(place, there)))
        while True:
            yield await events.get()

    async def request(
        self, method: str, path: str, body: Any = None, *, media: str = "application/json"
    ) -> Object:
        path = path.partition("?")[0]
        match method:
            case "get" if path in self.objects:
                return copy.deepcopy(self.objects[path])
            case "post":
                path = f"{path}/{body['metadata']['name']}"
                if path in self.objects:
                    raise ApiError(f"post {path}: 409", HTTPStatus.CONFLICT)
                return self.put(path, body)
            case "put" if path in self.objects:
                known = self.objects[path]["metadata"]["resourceVersion"]
                if body["metadata"]["resourceVersion"] != known:
                    raise ApiError(f"put {path}: 409", HTTPStatus.CONFLICT)
                return self.put(path, body)
            case "patch" if media == APPLY:
                return self._apply(path, body)
        raise ApiError(f"{method} {path}: 404", HTTPStatus.NOT_FOUND)

    def _apply(self, path: str, body: Object) -> Object:
        """Server-side apply, of the whole object or of its status alone."""
        if path.endswith("/status"):
            path = path.removesuffix("/status")
            return self.put(path, {**self.objects[path], "status": body["status"]})
        before = self.objects.get(path, {"metadata": {}})
        return self.put(
            path, {**before, **body, "metadata": {**before["metadata"], **body["metadata"]}}
        )

    def _tell(self, path: str, event: Event) -> None:
        for plural, namespace, name, events in self._watches:
            if _meant(path, plural, namespace, name):
                events.put_nowait(copy.deepcopy(event))


def _meant(path: str, plural: str, namespace: str, name: str) -> bool:
    *place, kind, own = path.split("/")
    return kind == plural and namespace in {"", place[-1]} and name in {"", own}
