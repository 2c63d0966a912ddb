"""Finds the endpoints of a name in what the registry says, for `stoq.api.route`."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from ipaddress import ip_address
from typing import Final

from stoq.api.balance import Target
from stoq.api.client import ApiClient
from stoq.api.errors import ApiError, BadRequest, NotFound
from stoq.registry import (
    WATCH,
    Endpoint,
    Gap,
    RegistryState,
    ServiceEntry,
    WatchRequest,
    apply,
    digests,
)
from stoq.sealing import Opener
from stoq.settings.kinds import join_host_and_port

log: Final = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 15.0
"""Seconds between attempts to reach a registry that is gone."""


async def follow(
    client: ApiClient, node: str, state: RegistryState | None, opener: Opener | None = None
) -> AsyncGenerator[RegistryState, None]:
    """What the registry says to workload `node`, from `state` on, for as long as it is there, held
    against its signature by `opener`.

    Raises `ApiError`, `Gap` when it has to be asked again for everything, and `Unsealed`.
    """
    request = WatchRequest(
        node=node,
        resume_epoch=state.epoch if state else "",
        resume_version=state.version if state else 0,
        digests=digests(state) if state else (),
        packed=True,
        signed=opener is not None,
    )
    async with client.stream(WATCH, request) as messages:
        async for message in messages:
            state = apply(state, opener.open(message, node) if opener else message)
            yield state


class RegistryResolver:
    """Resolves `<namespace>/<name>`, `service/<namespace>/<name>` for a Kubernetes Service, each
    with `:<port>` where there are several: its name or number. A `stoq.api.route.Resolver`.
    """

    def __init__(self) -> None:
        self._state: RegistryState | None = None
        self._known = asyncio.Event()
        self.version = 0
        """Grows with every state."""

    def update(self, state: RegistryState) -> None:
        """From now on this holds."""
        self._state = state
        self.version += 1
        self._known.set()

    async def run(self, client: ApiClient, node: str) -> None:
        """Follows the registry until cancelled. When it is gone, what it said last stays."""
        failures = 0
        while True:
            try:
                async with aclosing(follow(client, node, self._state)) as states:
                    async for state in states:
                        failures = 0
                        self.update(state)
                why = "the registry ended the stream"
            except Gap as gap:
                self._state, why = None, str(gap)
            except ApiError as error:
                why = str(error)
            pause = min(LONGEST_PAUSE, 0.25 * 2**failures) * random.uniform(0.5, 1)  # noqa: S311
            log.warning("registry lost, trying again in %.1f s: %s", pause, why)
            failures = min(failures + 1, 16)
            await asyncio.sleep(pause)

    async def resolve(self, name: str) -> tuple[Target, ...]:
        """See `Resolver`. Raises `BadRequest` for a port that the service does not have."""
        while self._state is None:
            self._known.clear()
            await self._known.wait()
        state = self._state
        key, _, port = name.partition(":")
        service = state.services.get(key)
        if service is None:
            raise NotFound(f"no service {key!r} is in the registry; `stoqctl records` lists them")
        index = _port(service, port)
        owners = {
            ip_address(address): workload.spiffe_id
            for workload in state.workloads.values()
            for address in workload.addresses
        }
        some = [e for e in service.endpoints if not e.terminating] or list(service.endpoints)
        targets = []
        for endpoint in some:
            if not _target(service, endpoint, index):
                continue  # it has no such port
            spiffe_id = _identity(service, owners.get(ip_address(endpoint.address), ""))
            if spiffe_id:
                address = join_host_and_port(endpoint.address, _target(service, endpoint, index))
                targets.append(Target(address, spiffe_id, endpoint.weight))
            else:
                log.warning("%s of %s is not used: who it must be is unknown", endpoint, key)
        return tuple(targets)


def _port(service: ServiceEntry, wanted: str) -> int:
    """Position of a port among the service's."""
    if not wanted and len(service.ports) == 1:
        return 0
    for index, port in enumerate(service.ports):
        if wanted and wanted in (port.name, str(port.port)):
            return index
    known = ", ".join(port.name or str(port.port) for port in service.ports) or "none"
    raise BadRequest(
        f"{service.key} has no port {wanted!r}; write {service.key}:<port>, of {known}"
    )


def _target(service: ServiceEntry, endpoint: Endpoint, index: int) -> int:
    return endpoint.targets[index] if endpoint.targets else service.ports[index].target


def _identity(service: ServiceEntry, owner: str) -> str:
    """Whom to expect at an endpoint that belongs to `owner` as far as the registry knows; empty
    when nothing can be expected of it.
    """
    if not service.spiffe_ids:
        return owner
    if owner:
        return owner if owner in service.spiffe_ids else ""
    return service.spiffe_ids[0] if len(service.spiffe_ids) == 1 else ""
