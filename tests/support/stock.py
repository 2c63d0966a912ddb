"""Engines for stock QUIC peers: a listener for classical TLS, as only tests have one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Limits, Listener, TlsContext
from support import engines
from support.interop import EngineServer

QUIC_FRAMES = frozenset(
    [
        "padding",
        "ping",
        "ack",
        "reset_stream",
        "stop_sending",
        "crypto",
        "new_token",
        "stream",
        "max_data",
        "max_stream_data",
        "max_streams",
        "data_blocked",
        "stream_data_blocked",
        "streams_blocked",
        "new_connection_id",
        "retire_connection_id",
        "path_challenge",
        "path_response",
        "connection_close",
        "handshake_done",
    ]
)
"""Those of RFC 9000, as qlog names them."""


def classical(ca: CertificateAuthority, spiffe_id: str) -> TlsContext:
    """A context for classical TLS that offers peers all it has."""
    tls = TlsContext(
        profile="classical",
        allow_classical=True,
        tokens="packet",
        packet_reserve=64,
        max_shard=65536,
    )
    tls.set_trust(engines.TRUST_DOMAIN, [ca.root])
    tls.set_identity(*engines.issued(ca, spiffe_id))
    return tls


@asynccontextmanager
async def listening(ca: CertificateAuthority, **limits: int) -> AsyncIterator[EngineServer]:
    """An engine for classical peers, with both of its listeners."""
    settings = EngineSettings(
        workers=1,
        stoq=Listener(listen="[::1]:0"),
        bootstrap=Listener(listen="[::1]:0"),
        limits=Limits(**limits),
        log_level="error",
    )
    async with Engine(settings, classical(ca, engines.SERVER)) as engine:
        yield EngineServer(engine)
