"""aioquic as it is, with an engine that for once does classical TLS: below its handshake STOQ is
QUIC, and a peer that is no more than that meets nothing it does not know.
"""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from functools import partial

import pytest
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent
from aioquic.quic.logger import QuicLogger
from aioquic.tls import SessionTicket
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stoq.engine import CertificateAuthority, Engine
from stoq_reference import head
from stoq_reference.endpoint import ALPN
from stoq_reference.head import Head, Kind
from support import engines, reference
from support.ends import whole
from support.interop import LOOPBACK
from support.patience import until
from support.stock import QUIC_FRAMES, classical, listening

DATA = bytes(range(256)) * 1000


class Plain(QuicConnectionProtocol):
    """Remembers what happened."""

    resumed: bool | None = None
    ended: ConnectionTerminated | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        super().quic_event_received(event)
        if isinstance(event, HandshakeCompleted):
            self.resumed = event.session_resumed
        elif isinstance(event, ConnectionTerminated):
            self.ended = event


def plain(ca: CertificateAuthority, spiffe_id: str | None, *, client: bool) -> QuicConfiguration:
    """aioquic's own settings; of a certificate it sees the ordinary half alone."""
    configuration = QuicConfiguration(
        alpn_protocols=[ALPN],
        is_client=client,
        verify_mode=ssl.CERT_NONE,
        quic_logger=QuicLogger(),
    )
    if spiffe_id is not None:
        own = reference.issued(ca, spiffe_id)
        configuration.certificate = x509.load_der_x509_certificate(own.certificate.der)
        configuration.private_key = Ed25519PrivateKey.from_private_bytes(own.keys.ed25519)
    return configuration


def frames_received(configuration: QuicConfiguration) -> set[str]:
    """What aioquic has read, by name; it closes a connection on a frame it does not know."""
    return {
        frame["frame_type"]
        for trace in configuration.quic_logger.to_dict()["traces"]
        for event in trace["events"]
        if event["name"] == "transport:packet_received"
        for frame in event["data"]["frames"]
    }


@pytest.mark.parametrize("spiffe_id", [engines.CLIENT, None])
async def test_aioquic_dials_an_engine(ca: CertificateAuthority, spiffe_id: str | None) -> None:
    configuration = plain(ca, spiffe_id, client=True)
    async with (
        listening(ca) as server,
        connect(
            LOOPBACK, server.api, configuration=configuration, create_protocol=Plain
        ) as protocol,
    ):
        acceptor = server.engine.acceptor()
        reader, writer = await protocol.create_stream()
        writer.write(Head(Kind.API, bytes(16)).encode() + DATA)
        writer.write_eof()
        far = await acceptor.accept()
        assert (far.peer and far.peer.spiffe_id) == spiffe_id
        received = await whole(far, len(DATA) + 1)
        await far.send(received, end=True)
        assert await reader.read() == received == DATA
        # No update before the present keys are acknowledged, which an engine may just have changed.
        await protocol.ping()
        protocol.request_key_update()
        await protocol.ping()
        assert isinstance(protocol, Plain)
        assert protocol.ended is None
    assert {"crypto", "handshake_done", "stream"} <= frames_received(configuration) <= QUIC_FRAMES


async def test_aioquic_resumes_a_session_with_an_engine(ca: CertificateAuthority) -> None:
    tickets: list[SessionTicket] = []
    async with listening(ca) as server:
        for resumed in (False, True):
            configuration = plain(ca, engines.CLIENT, client=True)
            configuration.session_ticket = tickets.pop() if tickets else None
            async with connect(
                LOOPBACK,
                server.mesh,
                configuration=configuration,
                create_protocol=Plain,
                session_ticket_handler=tickets.append,
            ) as protocol:
                assert isinstance(protocol, Plain)
                assert protocol.resumed is resumed
                await until(partial(len, tickets))
        assert server.engine.snapshot().counters.handshakes_resumed == 1


async def test_aioquic_proves_its_address_to_an_engine(ca: CertificateAuthority) -> None:
    configuration = plain(ca, engines.CLIENT, client=True)
    async with listening(ca, handshakes_before_retry=0) as server:
        async with connect(LOOPBACK, server.mesh, configuration=configuration) as protocol:
            await protocol.ping()
        assert server.engine.snapshot().counters.retries_sent > 0


async def _answer(reader: StreamReader, writer: StreamWriter) -> None:
    received = await reader.read()
    _, length = head.decode(received)
    writer.write(received[length:])
    writer.write_eof()


@pytest.mark.parametrize("retry", [False, True])
async def test_an_engine_dials_aioquic(ca: CertificateAuthority, *, retry: bool) -> None:
    configuration = plain(ca, engines.SERVER, client=False)
    answers = []

    def accept(reader: StreamReader, writer: StreamWriter) -> None:
        answers.append(asyncio.ensure_future(_answer(reader, writer)))

    server = await serve(
        LOOPBACK, 0, configuration=configuration, stream_handler=accept, retry=retry
    )
    port = server._transport.get_extra_info("sockname")[1]
    async with Engine(engines.client_settings(), classical(ca, engines.CLIENT)) as client:
        near = await client.dialler(f"[{LOOPBACK}]:{port}", engines.SERVER).open()
        await near.send(DATA, end=True)
        assert await whole(near, len(DATA) + 1) == DATA
        assert client.connections()[0].profile == "classical"
    server.close()
    await asyncio.gather(*answers)
    assert {"crypto", "stream"} <= frames_received(configuration) <= QUIC_FRAMES
