"""Objects of the API server, followed."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from stoq.records.errors import RecordError
from stoq_kube.apiserver import Client, Deleted, Kind, Listed
from stoq_kube.meta import Place, Raw, place

log: Final = logging.getLogger("stoq.node")

T = TypeVar("T")


class Objects(Generic[T]):
    """All objects of a kind, kept as what `read` makes of them; it gives None for those that do not
    matter. One that cannot be read stays what it was. While the API server is away all do.
    """

    def __init__(self, kind: Kind, read: Callable[[Raw], T | None]) -> None:
        self._kind = kind
        self._read = read
        self.complete = False
        """Whether there has been a whole list."""
        self.by_key: dict[Place, T] = {}
        """By namespace and name."""
        self.problem = ""
        """Why it may be out of date."""

    async def follow(self, client: Client, news: asyncio.Event, *, node: str = "") -> None:
        """Reads the watch until cancelled."""
        async for event in client.watch(self._kind, node=node, report=self._report):
            match event:
                case Listed(there=there):
                    self.by_key = {k: v for k, v in self.by_key.items() if k in there}
                    self.complete = True
                case Deleted(object=raw):
                    self.by_key.pop(place(raw), None)
                case _:
                    self._put(event.object)
            news.set()

    def _put(self, raw: Raw) -> None:
        key = place(raw)
        try:
            found = self._read(raw)
        except (RecordError, ValueError, KeyError, TypeError) as error:
            log.error("%s %s cannot be read: %s", self._kind, "/".join(key), error)
            return
        if found is None:
            self.by_key.pop(key, None)
        else:
            self.by_key[key] = found

    def _report(self, why: str) -> None:
        if why and why != self.problem:
            log.error("%s; what was read before stays in force", why)
        self.problem = why
