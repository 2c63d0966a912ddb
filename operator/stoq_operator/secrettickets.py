"""Keys of session tickets in a Secret: every replica follows it, the leader changes it.

So a sidecar that comes back resumes its session at whichever replica answers. Keys are handed to
the engine and not kept here: the leader reads them again when it changes them. Without the Secret,
or with one that is not to be read, handshakes are full ones.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from stoq_kube.apiserver import SECRETS, ApiError, Client, Deleted, Listed
from stoq_kube.meta import Raw
from stoq_operator.duty import Duty
from stoq_operator.lease import Election
from stoq_operator.ticketkeys import TicketKey, advanced, pack, unpack

log: Final = logging.getLogger(__name__)

NAME: Final = "stoq-tickets"

INTERVAL: Final = 30.0
"""Seconds between looks whether a key is due: well within the time that it is there unused."""

Told = Callable[[Sequence[TicketKey]], None]


class SecretTickets:
    """`run` must run beside."""

    def __init__(
        self,
        client: Client,
        election: Election,
        namespace: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._clock = clock
        self._told: Told | None = None
        self._latest: Raw | None = None
        """The Secret, until there is somebody to tell."""
        self._duty = Duty(election, "keys of session tickets", self._rotate, INTERVAL)

    def tell(self, told: Told) -> None:
        """Who is told of the keys, now and whenever they change."""
        self._told = told
        if self._latest is not None:
            self._use(self._latest)

    async def run(self) -> None:
        """Follows the Secret until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._duty.run())

    async def _follow(self) -> None:
        async for event in self._client.watch(SECRETS, namespace=self._namespace, name=NAME):
            match event:
                case Listed():
                    pass
                case Deleted():
                    # The leader makes others; until they are here those before go on being taken.
                    self._duty.wake()
                case _:
                    self._use(event.object)

    def _use(self, secret: Raw) -> None:
        if self._told is None:
            self._latest = secret
            return
        self._latest = None
        keys = unpack(secret.get("data") or {})
        self._told(keys)
        log.info("session tickets: keys of %s", ", ".join(str(key.since) for key in keys) or "none")

    async def _rotate(self) -> None:
        """What another replica wrote meanwhile is never overwritten."""
        try:
            secret = await self._client.request("get", SECRETS.path(NAME, self._namespace))
        except ApiError as error:
            if not error.missing:
                raise
            secret = {}
        before = secret.get("data") or {}
        data = pack(advanced(unpack(before), int(self._clock()), secrets.token_bytes))
        if data == before:
            return
        found = secret.get("metadata") or {}
        metadata = {
            name: found[name] for name in ("annotations", "resourceVersion", "uid") if name in found
        }
        labels = (found.get("labels") or {}) | {"app.kubernetes.io/managed-by": "stoq-operator"}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "name": NAME, "namespace": self._namespace, "labels": labels},
            "type": secret.get("type", "Opaque"),
            "data": data,
        }
        method, name = ("put", NAME) if secret else ("post", "")
        await self._client.request(method, SECRETS.path(name, self._namespace), body)
