"""aioquic as it is, which knows no post-quantum key exchange, is turned away by everybody."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator

import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from aioquic.tls import AlertDescription
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stoq.api.stream import ConnectionLost
from stoq.engine import CertificateAuthority, Engine
from stoq_reference.endpoint import ALPN
from stoq_reference.peer import ALERT_BASE
from support import engines, reference
from support.interop import LOOPBACK, EngineServer, echoing, refusal

HANDSHAKE_FAILURE = ALERT_BASE + AlertDescription.handshake_failure


class Watched(QuicConnectionProtocol):
    """Remembers how its connection ended."""

    ended: ConnectionTerminated | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            Watched.ended = event


async def dial(port: int) -> int:
    """The code that aioquic is turned away with."""
    configuration = QuicConfiguration(alpn_protocols=[ALPN], verify_mode=ssl.CERT_NONE)
    with pytest.raises(ConnectionError):
        async with connect(LOOPBACK, port, configuration=configuration, create_protocol=Watched):
            pass
    assert Watched.ended is not None
    return Watched.ended.error_code


def self_signed() -> tuple[x509.Certificate, Ed25519PrivateKey]:
    key = Ed25519PrivateKey.generate()
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(hours=1))
    )
    return builder.sign(key, None), key


@pytest.fixture
async def classical_server() -> AsyncIterator[int]:
    certificate, key = self_signed()
    configuration = QuicConfiguration(
        alpn_protocols=[ALPN], is_client=False, certificate=certificate, private_key=key
    )
    server = await serve(LOOPBACK, 0, configuration=configuration)
    yield server._transport.get_extra_info("sockname")[1]
    server.close()
    await asyncio.sleep(0)


async def test_the_engine_turns_a_classical_client_away(engine: EngineServer) -> None:
    assert await dial(engine.mesh) == HANDSHAKE_FAILURE


async def test_the_reference_turns_a_classical_client_away(ca: CertificateAuthority) -> None:
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        assert await dial(server.port) == HANDSHAKE_FAILURE


async def test_the_engine_finds_no_common_ground_with_a_classical_server(
    client: Engine, classical_server: int
) -> None:
    with pytest.raises(ConnectionLost):
        await client.dialler(f"[{LOOPBACK}]:{classical_server}", engines.SERVER).open()


async def test_the_reference_finds_no_common_ground_with_a_classical_server(
    classical_server: int, ca: CertificateAuthority
) -> None:
    closed = await refusal(classical_server, reference.endpoint(ca, engines.CLIENT))
    assert closed.alert == AlertDescription.handshake_failure
