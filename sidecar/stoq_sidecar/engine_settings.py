"""The engine's settings from the sidecar's. Pure."""

from dataclasses import dataclass
from typing import cast

from msgspec import UNSET, UnsetType

from stoq import constants
from stoq.broker.client import Sockets
from stoq.engine.settings import (
    AccessLog,
    AfXdp,
    EngineSettings,
    Gateway,
    Listener,
    LogLevel,
    Pool,
    Transport,
    Udp,
)
from stoq_sidecar import adaptation
from stoq_sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pod turned out to be at start.

    `sockets` came from the broker (None: the engine opens its own), `mtu` is the link's in bytes,
    `nonce` answers the capture probe, `ipv6` says whether the kernel has IPv6.
    """

    sockets: Sockets | None
    mtu: int
    workers: int
    nonce: bytes
    ipv6: bool


def engine_settings(settings: Settings, around: Surroundings) -> EngineSettings:
    """What the engine is told at start."""
    host = "[::]" if around.ipv6 else "0.0.0.0"
    passed = around.sockets
    transparent = passed.transparent if passed else None
    captures = not settings.gateway.enabled

    def listener(port: int, *descriptors: int) -> Listener:
        return Listener(listen=f"{host}:{port}", fds=descriptors)

    def capture(port: int, descriptor: int | None) -> Listener | None:
        passed = () if descriptor is None else (descriptor,)
        return listener(port, *passed) if captures else None

    return EngineSettings(
        name=settings.pod.name,
        namespace=settings.pod.namespace,
        workers=around.workers,
        stoq=listener(constants.STOQ_PORT, *(passed.stoq if passed else ())),
        outbound=capture(constants.OUTBOUND_PORT, passed.outbound if passed else None),
        inbound=capture(constants.INBOUND_PORT, passed.inbound if passed else None),
        probe_nonce=around.nonce.hex(),
        transparent_fd=UNSET if transparent is None else transparent,
        udp=_udp(settings, passed),
        af_xdp=_af_xdp(passed),
        gateway=_gateway(settings),
        ipv6_only=settings.link.ipv6_only,
        transport=Transport(
            mtu=settings.link.mtu or around.mtu,
            stream_window=settings.data.stream_window,
            connection_window=settings.data.connection_window,
            idle_timeout_ms=round(settings.data.idle_seconds * 1000),
            # Three pings within the time after which silence means death.
            keep_alive_ms=round(settings.data.idle_seconds * 1000 / 3),
        ),
        adapt=adaptation.from_settings(settings.adapt),
        pool=Pool(idle_ms=round(settings.data.pool_idle_seconds * 1000)),
        access_log=cast("AccessLog", settings.log.access),
        log_level=cast("LogLevel", settings.log.level),
        qlog_dir=settings.data.qlog_dir or None,
    )


def _gateway(settings: Settings) -> Gateway | UnsetType:
    given = settings.gateway
    if not given.enabled:
        return UNSET
    return Gateway(
        routes=given.routes,
        routes_per_peer=given.routes_per_peer,
        gateways=given.gateways,
        queue_bytes=given.queue_bytes,
        idle_ms=round(given.idle_seconds * 1000),
    )


def _udp(settings: Settings, passed: Sockets | None) -> Udp | UnsetType:
    """UDP is captured where the broker has passed sockets for it."""
    if passed is None or not passed.udp:
        return UNSET
    return Udp(
        capture=passed.udp,
        inject=passed.inject,
        emit=passed.emit,
        idle_ms=round(settings.data.udp_idle_seconds * 1000),
        # Nobody has answered: half the time is enough, as it is for connection tracking.
        unanswered_ms=round(settings.data.udp_idle_seconds * 500),
        flows=settings.data.udp_flows,
        flows_per_peer=max(1, settings.data.udp_flows // 8),
    )


def _af_xdp(passed: Sockets | None) -> AfXdp | UnsetType:
    """Where the broker has lent the pod's interface."""
    lent = passed.af_xdp if passed else None
    return UNSET if lent is None else AfXdp.of(lent)
