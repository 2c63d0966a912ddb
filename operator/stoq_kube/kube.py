"""The API server, through kopf: watches as plain dicts, and requests.

kopf's watching and its requests are used without kopf's handlers: those keep a task and a copy for
each object, wait a tenth of a second to merge events, and do not tell when a list is complete, so
what was deleted during a gap would live on. They are not part of kopf's promises, so its version is
pinned, and the tests on a real cluster fail when an upgrade changes them.
"""

import asyncio
import dataclasses
import logging
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
import kopf
from kopf._cogs.clients import api, auth, errors, watching
from kopf._cogs.structs import credentials, references

from stoq_kube.apiserver import ApiError, Changed, Deleted, Event, Kind, Listed, Unreachable
from stoq_kube.meta import Place, place

log: Final = logging.getLogger(__name__)

PATIENCE: Final = 10.0
"""Seconds that a request may take."""

RETRY: Final = 1.0
"""Seconds between attempts while the API server is away or says no."""

PAGE: Final = 500
"""Objects that are asked for at once where there are many: a list of thousands of pods would be
hundreds of megabytes for a moment, as JSON and as dicts."""

_SILENT: Final = logging.getLogger(f"{__name__}.requests")
"""kopf's own words on each failed attempt; ours say it once."""


class ApiServer:
    """One connection pool with credentials that are renewed. `run` must run beside."""

    def __init__(self) -> None:
        """Raises `ApiError` when there are neither a service account nor a kubeconfig."""
        _SILENT.setLevel(logging.CRITICAL + 1)
        self._settings = kopf.OperatorSettings()
        self._settings.networking.request_timeout = PATIENCE
        self._settings.networking.connect_timeout = PATIENCE
        self._settings.networking.error_backoffs = ()
        self._settings.watching.reconnect_backoff = RETRY / 10
        self._settings.watching.chunk_size = PAGE
        self._vault = credentials.Vault({"stoq": self._login()})

    async def run(self) -> None:
        """Renews credentials that the API server no longer takes, until cancelled."""
        while True:
            await self._vault.wait_for_emptiness()
            await self._vault.populate({"stoq": self._login()})
            await asyncio.sleep(RETRY)

    async def close(self) -> None:
        """Closes all connections."""
        await self._vault.close()

    async def watch(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        name: str = "",
        node: str = "",
        report: Callable[[str], None] | None = None,
    ) -> AsyncIterator[Event]:
        """Every object of `kind` as `Changed`, then `Listed`, then changes as they happen, for
        ever; after a gap again every object, and `Listed`.

        `namespace` and `name` narrow it, and pods `node`, on which they run. While the API server
        is away, or says no, nothing comes; `report` is told why, and with an empty text that it is
        over.
        """
        tell = report or _ignore
        there: set[Place] = set()
        resource = _Resource(
            kind.group,
            kind.version,
            kind.plural,
            namespaced=kind.namespaced,
            list_begins=there.clear,
        )
        settings = dataclasses.replace(
            self._settings, watching=dataclasses.replace(self._settings.watching)
        )
        fields = {"metadata.name": name, "spec.nodeName": node}
        if selector := ",".join(f"{field}={value}" for field, value in fields.items() if value):
            settings.watching.field_selectors = type(settings.watching.field_selectors)()
            settings.watching.field_selectors[kind.plural] = selector
        auth.vault_var.set(self._vault)
        within = references.NamespaceName(namespace) if namespace else None
        while True:
            try:
                stream = watching.infinite_watch(
                    settings=settings, resource=resource, namespace=within
                )
                async for event in stream:
                    tell("")
                    if isinstance(event, watching.Bookmark):
                        yield Listed(frozenset(there))
                        there.clear()
                    elif event["type"] == "DELETED":
                        yield Deleted(event["object"])
                    elif event["type"] != "BOOKMARK":
                        if event["type"] is None:
                            # Of a list. What a watch tells of may be gone before the next one.
                            there.add(place(event["object"]))
                        yield Changed(event["object"])
            except (*_FAILURES, watching.WatchingError) as error:
                tell(f"{kind} can not be watched: {_said(error)}")
            await asyncio.sleep(RETRY)

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media: str = "application/json",
    ) -> dict[str, Any]:
        """The answer to one request; `path` begins with a slash. Raises `ApiError`, and
        `Unreachable` when there was none.
        """
        auth.vault_var.set(self._vault)
        try:
            response = await api.request(
                method,
                path,
                settings=self._settings,
                payload=body,
                headers={"Content-Type": media} if body is not None else None,
                logger=_SILENT,
            )
            async with response:
                found: dict[str, Any] = await response.json()
                return found
        except errors.APIError as error:
            raise ApiError(f"{method} {path}: {_said(error)}", error.status) from error
        except _FAILURES as error:
            raise Unreachable(f"{method} {path}: {_said(error)}") from error

    def _login(self) -> credentials.ConnectionInfo:
        info = kopf.login_with_service_account(settings=self._settings)
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
        if info is not None and host:
            # The address, not the name: it does not wait for the cluster's DNS.
            place = f"[{host}]" if ":" in host else host
            return dataclasses.replace(info, server=f"https://{place}:{port}")
        info = info or kopf.login_with_kubeconfig(settings=self._settings)
        if info is None:
            raise ApiError(
                "there is no API server to talk to: run in a pod with a service account, or set "
                "KUBECONFIG"
            )
        return info


def _nothing() -> None:
    """Nobody wants to hear of it."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Resource(references.Resource):
    """One that hears of it when a list of it begins: kopf begins anew without a word when a page
    does not come, and objects of the pages before may be gone by then.
    """

    list_begins: Callable[[], None] = _nothing

    def get_url(self, *, params: dict[str, str] | None = None, **where: Any) -> str:
        """As kopf asks for it."""
        if not {"watch", "continue"} & (params or {}).keys():
            self.list_begins()
        return super().get_url(params=params, **where)


_FAILURES: Final = (
    aiohttp.ClientError, TimeoutError, OSError, errors.APIError, credentials.LoginError
)  # fmt: skip


def _said(error: Exception) -> str:
    if isinstance(error, errors.APIError):
        return f"{error.status} {error.message or ''}".strip()
    return str(error) or type(error).__name__


def _ignore(_why: str) -> None:
    """Nobody wants to know."""
