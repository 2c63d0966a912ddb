"""A live connection: its streams, who is at the other end, and how it was closed."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events

from stoq_reference import carriers, control
from stoq_reference import head as heads
from stoq_reference.beside import Ids
from stoq_reference.carriers import STREAM_FRAMES, Agreed, Extension
from stoq_reference.certificate import Certificate
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.connection import HybridConnection
from stoq_reference.control import EXPORTER_LABEL
from stoq_reference.endpoint import MESH_PORTS, Endpoint, Identity
from stoq_reference.errors import Malformed, Refused
from stoq_reference.flows import Flow, Flows
from stoq_reference.frames import Frame
from stoq_reference.head import NOWHERE, Address, Head, Kind
from stoq_reference.parameters import Parameters
from stoq_reference.reader import Short
from stoq_reference.reauthentication import Overloaded, Proofs, close_code, message
from stoq_reference.stream import Stream, StreamFailed, abandon
from stoq_reference.stripes import MAX_LANES, MIN_LANES
from stoq_reference.token_stream import TokenStream

ALERT_BASE = 0x100
"""A TLS alert as a QUIC error code is this and its number (RFC 9001, section 4.8)."""


class Closed(Exception):
    """How a connection ended."""

    def __init__(self, code: int, reason: str, *, application: bool) -> None:
        """`application`: the code is of section 6; otherwise it is one of QUIC's."""
        super().__init__(f"closed with {code:#x}: {reason or 'no reason given'}")
        self.code = code
        self.reason = reason
        self.application = application

    @property
    def alert(self) -> int | None:
        """The TLS alert, if that was it."""
        is_alert = not self.application and ALERT_BASE <= self.code < 2 * ALERT_BASE
        return self.code - ALERT_BASE if is_alert else None


class Peer(QuicConnectionProtocol):
    """A connection of an endpoint with another."""

    def __init__(self, endpoint: Endpoint, connection: HybridConnection) -> None:
        super().__init__(connection)
        self._endpoint = endpoint
        self._connection = connection
        self._streams: dict[int, Stream] = {}
        self._heads: dict[int, bytearray] = {}
        self._control: dict[int, bytearray] = {}
        self._proofs: Proofs | None = None
        self._proven = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._flows = Flows()
        self.accepted: asyncio.Queue[Stream] = asyncio.Queue()
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        """Those that came in datagrams."""
        self.ids = Ids()
        """Under which packets may come beside tunnels on this connection."""
        self.established = asyncio.Event()
        self.resumed = False
        self.closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()

    @property
    def certificate(self) -> Certificate | None:
        """The certificate that the peer is held by."""
        return self._proofs.peer if self._proofs else None

    @property
    def parameters(self) -> Parameters | None:
        """What the peer announced; None of a plain QUIC peer."""
        return self._connection.tls.peer_parameters

    @property
    def agreed(self) -> Agreed:
        """What the connection may use."""
        return Agreed.of(self._endpoint.parameters or Parameters(), self.parameters)

    @property
    def endpoint(self) -> Endpoint:
        """What we are here."""
        return self._endpoint

    @property
    def quic(self) -> HybridConnection:
        """The connection below."""
        return self._connection

    def exporter(self, label: bytes, context: bytes = b"", length: int = 32) -> bytes:
        """So many bytes bound to this connection."""
        return self._connection.tls.exporter(label, context, length)

    def follow_ids(
        self, *, issued: Callable[[bytes], None], retired: Callable[[bytes], None]
    ) -> None:
        """Tells a listener by which connection ids datagrams are for this connection."""
        self._connection_id_issued_handler = issued
        self._connection_id_retired_handler = retired

    def end(self, code: ConnectionCode = ConnectionCode.NO_ERROR, why: str = "") -> None:
        """Closes the connection with a code of section 6."""
        self.close(code, why)

    def open(self, kind: Kind, source: Address = NOWHERE, destination: Address = NOWHERE) -> Stream:
        """A new stream; its head is sent. Raises StreamFailed when the connection has ended."""
        head = Head(kind, secrets.token_bytes(heads.FLOW_ID_LENGTH), source, destination)
        return self.open_raw(head.encode(), head)

    def open_raw(self, first: bytes, head: Head) -> Stream:
        """A new stream that begins with any bytes, for tests of what a peer does with them.

        Raises StreamFailed when the connection has ended.
        """
        if self.closed.done():
            raise StreamFailed(None)
        stream = Stream(
            self._connection.get_next_available_stream_id(), head, self._connection, self.transmit
        )
        self._streams[stream.id] = stream
        stream.send(first)
        return stream

    def with_tokens(self, stream: Stream, interval: int | None = None) -> TokenStream:
        """A stream whose head says so, behind its tokens (T2)."""
        keys = self._connection.token_keys()
        both = keys.client, keys.server
        own, theirs = both if self._connection.configuration.is_client else both[::-1]
        return TokenStream(stream, own, theirs, close=self.end, interval=interval)

    def flow(self, stream: Stream) -> Flow:
        """The flow of captured UDP that a stream of kind 5 announces."""
        return Flow(stream, self._flows, send=self.send_datagram, close=self.end)

    def send_datagram(self, data: bytes) -> bool:
        """Sends a DATAGRAM frame, or nothing where it would be too large for the peer."""
        if len(data) > self._connection.datagram_room:
            return False
        self._connection.send_datagram_frame(data)
        self.transmit()
        return True

    @property
    def path_takes(self) -> int:
        """Bytes of the datagrams that are known to get to the peer."""
        return self._connection.path_takes

    def send_raw(self, datagram: bytes) -> None:
        """Sends a datagram that is none of this connection to where it is."""
        if self._transport is not None and not self.closed.done():
            self._transport.sendto(datagram, self._connection.path_address)

    def takes_beside(self, data: bytes, addr: Any) -> bool:
        """Whether a datagram of this connection's peer came beside a tunnel (G16)."""
        return addr == self._connection.path_address and self.ids.take(data)

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        """A datagram for this connection, or beside a tunnel of it."""
        assert isinstance(data, bytes)
        if not self.takes_beside(data, addr):
            super().datagram_received(data, addr)

    def prove(self, identity: Identity) -> Stream:
        """Sends a renewed certificate; the stream's end says that it was taken."""
        self._proven += 1
        stream = self.open(Kind.CONTROL)
        proof = message(
            identity,
            dialled=self._connection.configuration.is_client,
            counter=self._proven,
            exporter=self.exporter(EXPORTER_LABEL),
        )
        stream.send(proof, end=True)
        return stream

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """aioquic's word of what happened."""
        match event:
            case events.HandshakeCompleted():
                self._establish(resumed=event.session_resumed)
            case events.StreamDataReceived():
                self._received(event.stream_id, event.data, end=event.end_stream)
            case events.StreamReset():
                self._failed(event.stream_id, event.error_code)
            case events.StopSendingReceived() if event.stream_id in self._streams:
                self._streams[event.stream_id].stopped(event.error_code)
            case events.DatagramFrameReceived():
                self._datagram_received(event.data)
            case events.ConnectionTerminated():
                self._terminated(event)

    def _establish(self, *, resumed: bool) -> None:
        self.resumed = resumed
        self._proofs = Proofs(
            self._connection.tls.peer,
            peer_dialled=not self._connection.configuration.is_client,
            exporter=self.exporter(EXPORTER_LABEL),
            policy=self._endpoint.policy,
            schemes=self._endpoint.schemes,
        )
        self._await_expiry()
        self.established.set()

    def _await_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if (certificate := self.certificate) is not None:
            left = certificate.not_after + 1 - self._endpoint.clock()
            self._expiry = self._loop.call_later(left, self.end, ConnectionCode.EXPIRED)

    def _terminated(self, event: events.ConnectionTerminated) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if not self.closed.done():
            application = event.frame_type is None
            closed = Closed(event.error_code, event.reason_phrase, application=application)
            self.closed.set_result(closed)
        for stream in self._streams.values():
            stream.failed(None)

    def _failed(self, stream_id: int, code: int) -> None:
        self._heads.pop(stream_id, None)
        self._control.pop(stream_id, None)
        if (stream := self._streams.get(stream_id)) is not None:
            stream.failed(code)

    def _received(self, stream_id: int, data: bytes, *, end: bool) -> None:
        if (stream := self._streams.get(stream_id)) is not None:
            stream.arrived(data, end=end)
        elif stream_id in self._control:
            self._control_received(stream_id, data, end=end)
        else:
            self._head_received(stream_id, data, end=end)

    def _datagram_received(self, data: bytes) -> None:
        try:
            received = carriers.datagram(data, self.agreed)
        except Malformed as error:
            self.end(ConnectionCode.PROTOCOL, str(error))
            return
        if isinstance(received, tuple):
            self._flows.arrived(*received)
        else:
            self.frames.put_nowait(received)

    def _head_received(self, stream_id: int, data: bytes, *, end: bool) -> None:
        begun = self._heads.setdefault(stream_id, bytearray())
        begun += data
        try:
            tokens = Extension.STREAM_TOKENS in self.agreed.extensions
            head, length = heads.decode(bytes(begun), tokens=tokens)
        except Short:
            if end:
                self._refuse(stream_id, StreamCode.BAD_HEAD)
        except Malformed:
            self._refuse(stream_id, StreamCode.BAD_HEAD)
        else:
            del self._heads[stream_id]
            self._opened(stream_id, head, bytes(begun[length:]), end=end)

    def _refuse(self, stream_id: int, code: StreamCode) -> None:
        self._heads.pop(stream_id, None)
        abandon(self._connection, stream_id, code)

    def _opened(self, stream_id: int, head: Head, rest: bytes, *, end: bool) -> None:
        if head.kind is Kind.CONTROL:
            self._control[stream_id] = bytearray()
            self._control_received(stream_id, rest, end=end)
            return
        if (code := refusal(head, self._endpoint, self.agreed)) is not None:
            self._refuse(stream_id, code)
            return
        stream = Stream(stream_id, head, self._connection, self.transmit)
        self._streams[stream_id] = stream
        stream.arrived(rest, end=end)
        self.accepted.put_nowait(stream)

    def _control_received(self, stream_id: int, data: bytes, *, end: bool) -> None:
        collected = self._control[stream_id]
        collected += data
        if not end and len(collected) <= control.MAX_LENGTH:
            return
        del self._control[stream_id]
        assert self._proofs is not None
        try:
            self._proofs.take(bytes(collected), self._endpoint.clock())
        except (Malformed, Refused, Overloaded) as error:
            self.end(close_code(error), str(error))
        else:
            self._await_expiry()
            self._connection.send_stream_data(stream_id, b"", end_stream=True)

    async def update_keys(self) -> None:
        """Sends with new keys from now on, and returns when that was acknowledged.

        The present ones must have been acknowledged before, also if the peer has just changed
        them (RFC 9001, section 6.1): it could not tell the next phase from the last. aioquic sees
        to none of that.
        """
        phase = None
        while phase != self.quic.key_phase:
            phase = self.quic.key_phase
            await self.ping()
        self.request_key_update()
        await self.ping()
        assert self.quic.key_phase != phase


def refusal(head: Head, endpoint: Endpoint, agreed: Agreed) -> StreamCode | None:
    """Why a stream is not taken, if it is not (S2, S5, U1, L1, L2)."""
    if head.kind is Kind.API:
        return None
    if head.kind is Kind.FRAMES and agreed.extensions & STREAM_FRAMES:
        return None
    captured = head.kind is Kind.UDP and Extension.CAPTURED_UDP in agreed.extensions
    lane = head.kind is Kind.LANE and Extension.STRIPES in agreed.extensions
    if not (head.kind is Kind.TCP or captured or lane):
        return StreamCode.DENIED
    if lane and not (MIN_LANES <= head.received <= MAX_LANES and head.sent < head.received):
        return StreamCode.BAD_HEAD
    if head.destination.host not in endpoint.addresses:
        return StreamCode.NOT_MINE
    if head.destination.port in MESH_PORTS:
        return StreamCode.FORBIDDEN_PORT
    return None
