"""The server's side of the handshake."""

import secrets
from typing import Any, TypeVar

from aioquic import tls
from aioquic.buffer import Buffer

from stoq_reference import key_exchange
from stoq_reference.endpoint import ALPN, Endpoint, Ticket
from stoq_reference.handshake import HybridContext

T = TypeVar("T", bound=int)


class ServerContext(HybridContext):
    """Takes one group, asks every client for its certificate, and resumes sessions it began."""

    def __init__(self, endpoint: Endpoint, logger: Any = None) -> None:
        super().__init__(endpoint, is_client=False, logger=logger)

    def _server_handle_hello(
        self, input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer
    ) -> None:
        hello = tls.pull_client_hello(input_buf)
        suite = self._negotiate(hello)
        ticket = self._start_schedule(hello, suite, input_buf.data)
        self._say_hello(hello, suite, initial_buf, resumed=ticket is not None)
        extensions = tls.EncryptedExtensions(
            alpn_protocol=ALPN, other_extensions=self.handshake_extensions
        )
        with tls.push_message(self._schedule, handshake_buf):
            tls.push_encrypted_extensions(handshake_buf, extensions)
        if ticket is None:
            self._show_and_ask(hello, handshake_buf)
        self._push_finished(handshake_buf)
        self._schedule.extract(None)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.ONE_RTT, b"s ap traffic")
        self._next_dec_key = self._schedule.derive_secret(b"c ap traffic")
        if ticket is None:
            self._set_state(tls.State.SERVER_EXPECT_CERTIFICATE)
        else:
            self._peer_leaf = ticket.leaf
            self._server_expect_finished()

    def _negotiate(self, hello: tls.ClientHello) -> tls.CipherSuite:
        suite = _first(self._endpoint.ciphers, hello.cipher_suites)
        if suite is None:
            raise tls.AlertHandshakeFailure("no cipher suite in common")
        if tls.TLS_VERSION_1_3 not in (hello.supported_versions or ()):
            raise tls.AlertProtocolVersion("the client has no TLS 1.3")
        if ALPN not in (hello.alpn_protocols or ()):
            raise tls.AlertNoApplicationProtocol(f"the client does not speak {ALPN}")
        self.client_random = hello.random
        self.legacy_session_id = hello.legacy_session_id
        self.alpn_negotiated = ALPN
        self.received_extensions = hello.other_extensions
        if self.alpn_cb is not None:
            self.alpn_cb(ALPN)
        modes = hello.psk_key_exchange_modes or ()
        if tls.PskKeyExchangeMode.PSK_DHE_KE in modes:
            self._psk_key_exchange_mode = tls.PskKeyExchangeMode.PSK_DHE_KE
        return suite

    def _start_schedule(
        self, hello: tls.ClientHello, suite: tls.CipherSuite, encoded: bytes
    ) -> Ticket | None:
        """Begins the key schedule; with the ticket that the client resumes, if it can."""
        ticket = self._offered_ticket(hello, suite)
        self.key_schedule = tls.KeySchedule(suite)
        if ticket is None:
            self.key_schedule.extract(None)
            self.key_schedule.update_hash(encoded)
            return None
        self.key_schedule.extract(ticket.session.resumption_secret)
        binder_key = self.key_schedule.derive_secret(b"res binder")
        size = self.key_schedule.algorithm.digest_size
        # A single binder ends the message, behind two lengths of 2 and 1 bytes.
        self.key_schedule.update_hash(encoded[: -size - 3])
        if encoded[-size:] != self.key_schedule.finished_verify_data(binder_key):
            raise tls.AlertDecryptError("the binder of the resumed session does not verify")
        self.key_schedule.update_hash(encoded[-size - 3 :])
        self._session_resumed = True
        return ticket

    def _offered_ticket(self, hello: tls.ClientHello, suite: tls.CipherSuite) -> Ticket | None:
        offered = hello.pre_shared_key
        if offered is None or self._psk_key_exchange_mode is None or len(offered.identities) != 1:
            return None
        ticket = self._endpoint.tickets.pop(offered.identities[0][0], None)
        if ticket is None or not ticket.session.is_valid or ticket.session.cipher_suite != suite:
            return None
        return ticket

    def _say_hello(
        self, hello: tls.ClientHello, suite: tls.CipherSuite, output: Buffer, *, resumed: bool
    ) -> None:
        share = dict(hello.key_share or ()).get(key_exchange.GROUP)
        if share is None:
            raise tls.AlertHandshakeFailure("the client has no share of X25519MLKEM768")
        try:
            answer, secret = key_exchange.answer(share)
        except ValueError as error:
            raise tls.AlertIllegalParameter(str(error)) from None
        reply = tls.ServerHello(
            random=self._random(),
            legacy_session_id=hello.legacy_session_id,
            cipher_suite=suite,
            compression_method=tls.CompressionMethod.NULL,
            key_share=(key_exchange.GROUP, answer),
            pre_shared_key=0 if resumed else None,
            supported_version=tls.TLS_VERSION_1_3,
        )
        with tls.push_message(self._schedule, output):
            tls.push_server_hello(output, reply)
        self._schedule.extract(secret)
        for direction, label in (
            (tls.Direction.ENCRYPT, b"s hs traffic"),
            (tls.Direction.DECRYPT, b"c hs traffic"),
        ):
            self._setup_traffic_protection(direction, tls.Epoch.HANDSHAKE, label)

    def _random(self) -> bytes:
        self.server_random = secrets.token_bytes(32)
        return self.server_random

    def _show_and_ask(self, hello: tls.ClientHello, output: Buffer) -> None:
        if self._own_scheme(hello.signature_algorithms) is None:
            raise tls.AlertHandshakeFailure("the client does not take our signature scheme")
        request = tls.CertificateRequest(signature_algorithms=list(self._endpoint.schemes))
        with tls.push_message(self._schedule, output):
            tls.push_certificate_request(output, request)
        self._push_certificate(output)

    def _server_handle_finished(self, input_buf: Buffer, output_buf: Buffer) -> None:
        self._pass_gate()
        super()._server_handle_finished(input_buf, output_buf)


def _first(ours: tuple[T, ...], theirs: list[int]) -> T | None:
    return next((one for one in ours if one in theirs), None)
