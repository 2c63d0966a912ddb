"""aioquic's connection with our handshake and transport parameters."""

from typing import Any

from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionError
from aioquic.quic.logger import QuicLogger
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicProtocolVersion
from aioquic.tls import Epoch

from stoq_reference.bare import LONG_HEADER
from stoq_reference.carriers import DATAGRAMS, Agreed, Extension
from stoq_reference.client_handshake import ClientContext
from stoq_reference.endpoint import ALPN, Endpoint
from stoq_reference.errors import Malformed
from stoq_reference.handshake import HybridContext
from stoq_reference.packets import ReservedPair
from stoq_reference.parameters import Parameters, decode, integer
from stoq_reference.server_handshake import ServerContext
from stoq_reference.tokens import EXPORTER_LABEL, EXPORTER_LENGTH, Keys

MAX_UDP_PAYLOAD_SIZE = 3
"""The id of that transport parameter (RFC 9000, section 18.2), which aioquic leaves out."""

IDLE_TIMEOUT = 15.0
"""Seconds."""

MAX_DATAGRAM_FRAME = 65535
"""Bytes of the largest DATAGRAM frame that is taken (RFC 9221, section 3): what a packet holds."""

EVERYWHERE = 1280 - 40 - 8
"""Bytes of UDP payload that every path of IPv6 takes (RFC 8200, section 5), and hardly one of IPv4
does not. Around a tunnel whose packets may go beside it: these are longer than what they carry.
"""

AROUND_A_DATAGRAM = 50
"""Bytes of a packet besides the data of its DATAGRAM frame and the reserve, at most: the header
with a connection id of 20 bytes, the frame's type and length, the AEAD's tag.
"""


def configuration(
    endpoint: Endpoint, *, is_client: bool, qlog: QuicLogger | None = None, inner: bool = False
) -> QuicConfiguration:
    """QUIC's own settings: version 1 only, and nothing in 0-RTT. `inner`: of a connection in a
    tunnel.
    """
    identity = endpoint.identity
    offered = endpoint.parameters.extensions if endpoint.parameters else 0
    around = bool(offered & Extension.FORWARDED) and not inner
    return QuicConfiguration(
        alpn_protocols=[ALPN],
        is_client=is_client,
        idle_timeout=IDLE_TIMEOUT,
        supported_versions=[QuicProtocolVersion.VERSION_1],
        cipher_suites=list(endpoint.ciphers),
        quic_logger=qlog,
        max_datagram_size=EVERYWHERE if around else SMALLEST_MAX_DATAGRAM_SIZE,
        max_datagram_frame_size=MAX_DATAGRAM_FRAME if offered & DATAGRAMS else None,
        # aioquic wants both of a server; our handshake takes them from the endpoint.
        certificate=identity and identity.certificate.x509,
        private_key=identity and identity.keys,
    )


class HybridConnection(QuicConnection):
    """One connection of an endpoint."""

    tls: HybridContext

    def __init__(self, endpoint: Endpoint, *, payload: int | None = None, **arguments: Any) -> None:
        """`payload`: bytes of UDP payload that we take, where a tunnel has no more room (G7)."""
        self._endpoint = endpoint
        self._payload = payload
        self.packets: ReservedPair | None = None
        """What is at the end of 1-RTT packets; None before the first packet of all."""
        super().__init__(**arguments)
        # Nobody may open a unidirectional stream (S7).
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = 0

    @property
    def key_phase(self) -> int:
        """The bit that changes with each update of the keys (RFC 9001, section 6)."""
        return self._cryptos[Epoch.ONE_RTT].key_phase

    @property
    def cipher(self) -> str:
        """The cipher suite's name."""
        assert self.tls.key_schedule is not None
        return self.tls.key_schedule.cipher_suite.name

    @property
    def retried(self) -> bool:
        """Whether the server made us prove our address first."""
        return self._retry_count > 0

    @property
    def path_takes(self) -> int:
        """Bytes of the datagrams that the path is known to take."""
        return self._configuration.max_datagram_size

    @property
    def path_address(self) -> Any:
        """The peer's address; None before there is a path."""
        return self._network_paths[0].addr if self._network_paths else None

    @property
    def peer_id(self) -> bytes:
        """The connection ID of packets that go from here."""
        return self._peer_cid.cid

    def own_id(self, packet: bytes) -> bytes | None:
        """The connection ID of ours that a packet has behind a short header; None of any other."""
        found = packet[1 : 1 + self._configuration.connection_id_length]
        ours = not packet[0] & LONG_HEADER and any(id_.cid == found for id_ in self._host_cids)
        return found if ours else None

    @property
    def datagram_room(self) -> int:
        """Bytes that a DATAGRAM frame to this peer can carry; 0: it takes none."""
        if self._remote_max_datagram_frame_size is None or self.packets is None:
            return 0
        packet = self._configuration.max_datagram_size - self.packets.reserve
        return min(packet, self._remote_max_datagram_frame_size) - AROUND_A_DATAGRAM

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        make = ClientContext if self._is_client else ServerContext
        ours = make(self._endpoint, self._logger)
        ours.handshake_extensions = self.tls.handshake_extensions
        ours.alpn_cb = self.tls.alpn_cb
        ours.update_traffic_key_cb = self.tls.update_traffic_key_cb
        self.tls = ours

        self.packets = ReservedPair(
            self._cryptos[Epoch.ONE_RTT], self.token_keys, is_client=self._is_client
        )
        self._cryptos[Epoch.ONE_RTT] = self.packets

    def token_keys(self) -> Keys:
        """The keys of this connection's tokens (section 12)."""
        return Keys.of(self.tls.exporter(EXPORTER_LABEL, length=EXPORTER_LENGTH))

    def receive_datagram(self, data: bytes, addr: Any, now: float) -> None:
        """aioquic's; a packet with a wrong end closes the connection (T8)."""
        super().receive_datagram(data, addr, now)
        if self.packets and (fault := self.packets.fault) is not None:
            self.close(error_code=fault.code, reason_phrase=str(fault))

    def _close_begin(self, is_initiator: bool, now: float) -> None:  # noqa: FBT001 - aioquic's
        """aioquic's; but a connection that is closed is over at once: what comes late finds nothing
        that answers it (RFC 9000, section 10.2). At a server an Initial would, so that a connection
        whose handshake is not confirmed stays for as long as aioquic says.
        """
        super()._close_begin(is_initiator, now)
        if self._is_client or self._handshake_confirmed:
            self._close_at = now

    def _serialize_transport_parameters(self) -> bytes:
        room = b"" if self._payload is None else integer(MAX_UDP_PAYLOAD_SIZE, self._payload)
        return super()._serialize_transport_parameters() + room + self._endpoint.announced()

    def _parse_transport_parameters(self, data: bytes, *_: Any, **__: Any) -> None:
        try:
            theirs = self.tls.peer_parameters = decode(data)
        except Malformed as error:
            raise QuicConnectionError(
                error_code=QuicErrorCode.TRANSPORT_PARAMETER_ERROR,
                frame_type=QuicFrameType.CRYPTO,
                reason_phrase=str(error),
            ) from None
        super()._parse_transport_parameters(data)
        assert self.packets is not None
        self.packets.agree(Agreed.of(self._endpoint.parameters or Parameters(), theirs))
