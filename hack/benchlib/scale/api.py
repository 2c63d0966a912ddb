"""The API server, by HTTP, for thousands of small requests."""

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp

from benchlib.errors import BenchError
from benchlib.scale.objects import Object
from benchlib.scale.progress import Progress

T = TypeVar("T")

AT_ONCE: Final = 24
"""Requests in flight."""

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"

_PLURALS: Final = {
    "Namespace": ("api/v1", "namespaces", False),
    "Node": ("api/v1", "nodes", False),
    "Pod": ("api/v1", "pods", True),
    "Service": ("api/v1", "services", True),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices", True),
    "Lease": ("apis/coordination.k8s.io/v1", "leases", True),
    "ServiceRecord": ("apis/stoq.dev/v1alpha1", "servicerecords", True),
    "CustomResourceDefinition": (
        "apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False,
    ),
    "MutatingWebhookConfiguration": (
        "apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", False,
    ),
}  # fmt: skip


def path(item: Object, part: str = "") -> str:
    """URL path of an object, or of a subresource."""
    group, plural, namespaced = _PLURALS[item["kind"]]
    place = f"/namespaces/{item['metadata']['namespace']}" if namespaced else ""
    name = item["metadata"].get("name", "")
    return "/" + "/".join(step for step in (f"{group}{place}", plural, name, part) if step)


class Api:
    """Requests as the user of a kubeconfig."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def request(
        self, method: str, where: str, body: object = None, *, media: str = "application/json"
    ) -> Any:
        """The answer; raises BenchError with what the API server said."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": media}
        async with self._session.request(
            method, self._server + where, data=data, headers=headers
        ) as response:
            text = await response.text()
            if response.status >= 400:
                raise BenchError(f"{method} {where}: {response.status} {text[:500]}")
        return json.loads(text) if response.content_type == "application/json" else text

    async def apply(self, item: Object, part: str = "") -> Any:
        """Server-side apply."""
        place = f"{path(item, part)}?fieldManager=stoq-bench&force=true"
        return await self.request("PATCH", place, item, media=APPLY)

    async def create(self, item: Object, *, options: str = "") -> Any:
        """A new object."""
        bare = {**item, "metadata": {**item["metadata"]}}
        bare["metadata"].pop("name", None)
        return await self.request("POST", path(bare) + options, item)

    async def merge(self, item: Object, patch: Object, part: str = "") -> Any:
        """A merge patch."""
        return await self.request("PATCH", path(item, part), patch, media=MERGE)

    async def delete(self, item: Object, *, missing_ok: bool = True) -> None:
        """Deletes at once, with what belongs to it in the background."""
        try:
            await self.request("DELETE", path(item) + "?gracePeriodSeconds=0")
        except BenchError as error:
            if not (missing_ok and ": 404 " in str(error)):
                raise

    async def each(
        self,
        what: str,
        items: Iterable[T],
        work: Callable[[T], Awaitable[None]],
        *,
        at_once: int = AT_ONCE,
    ) -> None:
        """Does `work` for each of `items`, some at once, and says how far it is."""
        waiting = list(items)
        progress = Progress(what, len(waiting))
        queue = iter(waiting)

        async def worker() -> None:
            for item in queue:
                await work(item)
                progress.done()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(waiting))):
                group.create_task(worker())


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Api]:
    """A connection pool as a kubeconfig of `hack/cluster` says. Raises BenchError."""
    cluster, user = _read(kubeconfig)
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    with tempfile.NamedTemporaryFile() as pair:
        for part in ("client-certificate-data", "client-key-data"):
            pair.write(base64.b64decode(user[part]))
        pair.flush()
        context.load_cert_chain(pair.name)
    connector = aiohttp.TCPConnector(ssl=context, limit=2 * AT_ONCE)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(60)
    ) as session:
        yield Api(session, cluster["server"])


def _read(kubeconfig: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Cluster and user."""
    try:
        found = json.loads(kubeconfig.read_text())
        return found["clusters"][0]["cluster"], found["users"][0]["user"]
    except (OSError, ValueError, LookupError) as error:
        raise BenchError(
            f"{kubeconfig} is no kubeconfig of hack/cluster ({error}); run hack/cluster up"
        ) from error
