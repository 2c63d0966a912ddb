"""Which replica writes: a Lease of the API server, held by one and renewed.

Clocks of replicas are not compared: whoever sees a Lease unchanged for its whole duration, by the
own clock, may take it. The holder stops writing before that, when it could not renew.

A holder that ends lets go. One that was uninstalled cannot: its rights are gone before it is. So a
Lease whose holder's pod no longer exists is taken at once. A kubelet removes a pod when its
processes have ended. If somebody removed it by force and they go on, they find out when they renew,
and the API server soon takes their token for invalid.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from stoq_kube.apiserver import LEASES, PODS, ApiError, Client
from stoq_kube.meta import Raw

log: Final = logging.getLogger(__name__)

DURATION: Final = 15
"""Seconds that a Lease is respected without a sign of its holder."""

DEADLINE: Final = 10.0
"""Seconds without renewal after which the holder stops writing: well before another may begin."""

RENEW: Final = 2.0
"""Seconds between attempts to renew, or to take."""

SILENT: Final = 2 * RENEW
"""Seconds without renewal after which it is asked whether the holder still exists."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A Lease as it was first seen in this state, and when, by the own monotonic clock."""

    holder: str
    renewed: str
    at: float


def seen(lease: Raw, before: Seen | None, now: float) -> Seen:
    """What is known of a Lease after looking at it. Pure."""
    spec = lease.get("spec") or {}
    holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
    if before is not None and (before.holder, before.renewed) == (holder, renewed):
        return before
    return Seen(holder, renewed, now)


def may_take(known: Seen, identity: str, now: float) -> bool:
    """Whether `identity` may write itself into the Lease. Pure."""
    return known.holder in {"", identity} or now - known.at > DURATION


def doubtful(known: Seen, before: Seen | None, now: float) -> bool:
    """Whether it is worth asking if the holder still exists: at the first look, and while it is
    silent. Pure.
    """
    return before is None or now - known.at > SILENT


def orphaned(holder: str, identity: str, pods: Raw) -> bool:
    """Whether no pod of the list `pods`, which are those of the own namespace, is the holder.

    Only a replica that is a pod itself may say so: others do not bear the names of pods. Pure.
    """
    names = {item["metadata"]["name"] for item in pods.get("items") or ()}
    return identity in names and holder not in names


class Election:
    """Takes part until cancelled, and then lets go."""

    def __init__(self, client: Client, namespace: str, name: str, identity: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen: Seen | None = None
        self._until = 0.0
        self._lease: dict[str, Any] = {}
        self._led = False
        self.on_change: list[Callable[[bool], None]] = []
        """Told when leadership came or went."""

    @property
    def leads(self) -> bool:
        """Whether this replica writes, now."""
        return asyncio.get_running_loop().time() < self._until

    async def run(self) -> None:
        """Takes part."""
        try:
            while True:
                try:
                    await self._try()
                except ApiError as error:
                    if error.conflict:
                        # Somebody else wrote the Lease; the next look tells who.
                        self._until = 0.0
                    log.log(
                        logging.DEBUG if error.conflict else logging.WARNING, "lease: %s", error
                    )
                self._tell()
                await asyncio.sleep(RENEW)
        finally:
            await self._release()

    async def _try(self) -> None:
        now = asyncio.get_running_loop().time()
        try:
            lease = await self._client.request("get", LEASES.path(self._name, self._namespace))
        except ApiError as error:
            if not error.missing:
                raise
            self._lease = await self._client.request(
                "post", LEASES.path("", self._namespace), self._written({})
            )
            self._until = now + DEADLINE
            return
        before, self._seen = self._seen, seen(lease, self._seen, now)
        if not may_take(self._seen, self._identity, now):
            self._until = 0.0
            if not doubtful(self._seen, before, now) or not await self._orphaned():
                return
            log.info("%s, which held the Lease, no longer exists", self._seen.holder)
        self._lease = await self._client.request(
            "put", LEASES.path(self._name, self._namespace), self._written(lease)
        )
        self._until = now + DEADLINE

    async def _orphaned(self) -> bool:
        assert self._seen is not None
        pods = await self._client.request("get", PODS.path("", self._namespace))
        return orphaned(self._seen.holder, self._identity, pods)

    def _written(self, lease: Raw) -> dict[str, Any]:
        spec = dict(lease.get("spec") or {})
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = moment
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + bool(lease)
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION,
            "renewTime": moment,
        }
        # The version that was read: if somebody else wrote since, the API server refuses ours.
        version = (lease.get("metadata") or {}).get("resourceVersion")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                **({"resourceVersion": version} if version else {}),
            },
            "spec": spec,
        }

    def _tell(self) -> None:
        if self.leads != self._led:
            self._led = self.leads
            log.info("%s %s", self._identity, "leads" if self._led else "does not lead")
            for told in self.on_change:
                told(self._led)

    async def _release(self) -> None:
        """So that the next one need not wait for the Lease to run out."""
        if not self.leads:
            return
        self._until = 0.0
        self._lease["spec"]["holderIdentity"] = ""
        with suppress(ApiError):
            await self._client.request("put", LEASES.path(self._name, self._namespace), self._lease)
