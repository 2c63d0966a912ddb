"""The administration pages on loopback port 14000.

For people and `stoqctl` inside the pod (`kubectl exec`, `nsenter`). Never reachable from outside:
the sockets are bound to loopback, capture turns connections from outside away, and a request from
any other address is answered 403 should both ever fail.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

from stoq.capture.plan import Address
from stoq.engine import Service
from stoq.http import Handler, Request, Response, Routes, plain
from stoq.logs import LEVELS
from stoq.registry import RegistryState
from stoq_sidecar.discovery import DiscoveryStatus
from stoq_sidecar.path import PathReport
from stoq_sidecar.svid import SvidStatus

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Actions:
    """What the pages show and do; each is a function so that the pages stay ignorant of how."""

    config: Callable[[], dict[str, Any]]
    connections: Callable[[], Any]
    path: Callable[[str], Awaitable[PathReport]]
    """Tries the way to the meshed pod at an address. Raises ValueError."""
    adaptation: Callable[[], Any]
    """How connections adapt: policy, pins by hand, and what holds."""
    adapt: Callable[[str, str], None]
    """Pins the tier and the congestion controller, each empty: as settings and policy say. Raises
    ValueError."""
    adapt_now: Callable[[], None]
    level: Callable[[], str]
    set_level: Callable[[str], None]
    drain: Callable[[], Awaitable[None]]


def routes(actions: Actions) -> Routes:
    """The pages."""

    async def config(_: Request) -> Response:
        return _json(actions.config())

    async def connections(_: Request) -> Response:
        return _json(actions.connections())

    async def path(request: Request) -> Response:
        address = request.query.get("address", "")
        try:
            return _json(asdict(await actions.path(address)))
        except ValueError as error:
            return plain(f"{error}: GET /path?address=<address of a pod>", HTTPStatus.BAD_REQUEST)

    async def level(_: Request) -> Response:
        return plain(actions.level())

    async def set_level(request: Request) -> Response:
        wanted = request.query.get("level", "")
        if wanted not in LEVELS:
            return plain(
                f"level is {wanted!r}, not one of {', '.join(LEVELS)}: POST /log-level?level=debug",
                HTTPStatus.BAD_REQUEST,
            )
        actions.set_level(wanted)
        return plain(wanted)

    async def drain(_: Request) -> Response:
        await actions.drain()
        return plain("draining", HTTPStatus.ACCEPTED)

    pages: dict[tuple[str, str], Handler] = {
        ("GET", "/config"): config,
        ("GET", "/connections"): connections,
        ("GET", "/path"): path,
        ("GET", "/log-level"): level,
        ("POST", "/log-level"): set_level,
        ("POST", "/drain"): drain,
    }
    pages |= _adaptation(actions)
    return {key: _loopback_only(handler) for key, handler in pages.items()}


def _adaptation(actions: Actions) -> dict[tuple[str, str], Handler]:
    async def adaptation(_: Request) -> Response:
        return _json(actions.adaptation())

    async def adapt(request: Request) -> Response:
        tier, congestion = (request.query.get(name, "") for name in ("tier", "congestion"))
        try:
            actions.adapt(tier, congestion)
        except ValueError as error:
            return plain(
                f"{error}: POST /adapt?tier=<tier>&congestion=<controller>, each may be left out",
                HTTPStatus.BAD_REQUEST,
            )
        return _json({"tier": tier, "congestion": congestion})

    async def adapt_now(_: Request) -> Response:
        actions.adapt_now()
        return _json({})

    return {
        ("GET", "/adapt"): adaptation,
        ("POST", "/adapt"): adapt,
        ("POST", "/adapt-now"): adapt_now,
    }


def _loopback_only(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        if not request.from_loopback:
            return plain(
                f"{request.client} may not use this page: it answers on loopback only; run the "
                "request inside the pod",
                HTTPStatus.FORBIDDEN,
            )
        return await handler(request)

    return guarded


def _json(value: Any) -> Response:
    body = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return Response(body.encode(), content_type=JSON)


def config_page(
    *,
    settings: Mapping[str, Mapping[str, str]],
    engine: str,
    own: Iterable[Address],
    captured_udp: bool,
    svid: SvidStatus,
    crypto: Mapping[str, Any],
    discovery: DiscoveryStatus,
    state: RegistryState | None,
    failing: Iterable[Service],
    blocking: Mapping[str, str],
) -> dict[str, Any]:
    """What `/config` shows: settings, the engine's own (`engine`, JSON), whether the broker passed
    sockets for captured UDP, identity, crypto profile, everything the registry said, and services
    of which an endpoint has failed. There is no key and no token among it.
    """
    registry = None if state is None else msgspec.to_builtins(state)
    if registry is not None:
        # Roots are long, and public.
        for trusted in (registry["trust"], *registry["trust"]["federated"]):
            trusted["roots"] = len(trusted["roots"])
    return {
        "settings": settings,
        "engine": json.loads(engine),
        "captured_udp": captured_udp,
        "addresses": [str(address) for address in own],
        "identity": asdict(svid),
        "crypto": dict(crypto),
        "discovery": asdict(discovery),
        "registry": registry,
        "failing": [
            {
                "namespace": service.destination_service_namespace,
                "name": service.destination_service_name,
                "failovers": service.failovers,
                "ejections": service.ejections,
                "ejected": list(service.ejected),
            }
            for service in failing
        ],
        "blocking": dict(blocking),
    }
