"""The client's side of the handshake."""

from typing import Any

from aioquic import tls
from aioquic.buffer import Buffer

from stoq_reference import key_exchange
from stoq_reference.endpoint import Endpoint, Ticket
from stoq_reference.handshake import HybridContext

HELLO_CAPACITY = 8192


class ClientContext(HybridContext):
    """Offers one group, our schemes, and a session to resume if there is one."""

    def __init__(self, endpoint: Endpoint, logger: Any = None) -> None:
        super().__init__(endpoint, is_client=True, logger=logger)
        self._offer = key_exchange.Offer()
        self._ticket: Ticket | None = None
        self._full: tls.KeyScheduleProxy | None = None
        self._resuming: tls.KeySchedule | None = None

    def _client_send_hello(self, output_buf: Buffer) -> None:
        assert self.client_random is not None
        hello = tls.ClientHello(
            random=self.client_random,
            legacy_session_id=b"",
            cipher_suites=list(self._endpoint.ciphers),
            legacy_compression_methods=[tls.CompressionMethod.NULL],
            alpn_protocols=self._alpn_protocols,
            key_share=[(key_exchange.GROUP, self._offer.share)],
            psk_key_exchange_modes=[tls.PskKeyExchangeMode.PSK_DHE_KE],
            signature_algorithms=list(self._endpoint.schemes),
            supported_groups=[key_exchange.GROUP],
            supported_versions=[tls.TLS_VERSION_1_3],
            other_extensions=self.handshake_extensions,
        )
        self._ticket = self._take_ticket()
        encoded = self._resumable(hello, self._ticket) if self._ticket else _encoded(hello)
        self._full = tls.KeyScheduleProxy(list(self._endpoint.ciphers))
        self._full.extract(None)
        self._full.update_hash(encoded)
        output_buf.push_bytes(encoded)
        self._set_state(tls.State.CLIENT_EXPECT_SERVER_HELLO)

    def _take_ticket(self) -> Ticket | None:
        # One ticket for one connection, so that an observer cannot link two of them.
        while self._endpoint.tickets:
            _, ticket = self._endpoint.tickets.popitem()
            if ticket.session.is_valid:
                return ticket
        return None

    def _resumable(self, hello: tls.ClientHello, ticket: Ticket) -> bytes:
        """The hello with its pre_shared_key extension, whose binder covers all before it."""
        schedule = tls.KeySchedule(ticket.session.cipher_suite)
        schedule.extract(ticket.session.resumption_secret)
        binder_key = schedule.derive_secret(b"res binder")
        size = schedule.algorithm.digest_size
        identity = (ticket.session.ticket, ticket.session.obfuscated_age)
        hello.pre_shared_key = tls.OfferedPsks([identity], [bytes(size)])
        encoded = _encoded(hello)
        # The binders are the last in the message: two lengths, of 2 and 1 bytes, and one binder.
        before = encoded[: -size - 3]
        schedule.update_hash(before)
        encoded = encoded[:-size] + schedule.finished_verify_data(binder_key)
        schedule.update_hash(encoded[len(before) :])
        self._resuming = schedule
        return encoded

    def _client_handle_hello(self, input_buf: Buffer, _output_buf: Buffer) -> None:
        hello = tls.pull_server_hello(input_buf)
        if hello.cipher_suite not in self._endpoint.ciphers:
            raise tls.AlertIllegalParameter(f"cipher suite {hello.cipher_suite:#x}")
        if hello.supported_version != tls.TLS_VERSION_1_3 or hello.compression_method:
            raise tls.AlertIllegalParameter("the ServerHello is not TLS 1.3")
        if hello.key_share is None or hello.key_share[0] != key_exchange.GROUP:
            raise tls.AlertIllegalParameter("the server chose a group that was not offered")
        try:
            secret = self._offer.secret(hello.key_share[1])
        except ValueError as error:
            raise tls.AlertIllegalParameter(str(error)) from None
        self.key_schedule = self._chosen_schedule(hello)
        self.key_schedule.update_hash(input_buf.data)
        self.key_schedule.extract(secret)
        for direction, label in (
            (tls.Direction.DECRYPT, b"s hs traffic"),
            (tls.Direction.ENCRYPT, b"c hs traffic"),
        ):
            self._setup_traffic_protection(direction, tls.Epoch.HANDSHAKE, label)
        self._set_state(tls.State.CLIENT_EXPECT_ENCRYPTED_EXTENSIONS)

    def _chosen_schedule(self, hello: tls.ServerHello) -> tls.KeySchedule:
        suite = tls.CipherSuite(hello.cipher_suite)
        if hello.pre_shared_key is None:
            assert self._full is not None
            return self._full.select(suite)
        if self._resuming is None or self._ticket is None or hello.pre_shared_key != 0:
            raise tls.AlertIllegalParameter("the server resumes what was not offered")
        if suite != self._resuming.cipher_suite:
            raise tls.AlertIllegalParameter("the server resumes with another cipher suite")
        self._session_resumed = True
        self._peer_leaf = self._ticket.leaf
        return self._resuming

    def _client_handle_certificate_verify(self, input_buf: Buffer) -> None:
        self._check_certificate_verify_signature(tls.pull_certificate_verify(input_buf))
        self._schedule.update_hash(input_buf.data)
        self._set_state(tls.State.CLIENT_EXPECT_FINISHED)

    def _client_handle_finished(self, input_buf: Buffer, output_buf: Buffer) -> None:
        assert self._dec_key is not None
        expected = self._schedule.finished_verify_data(self._dec_key)
        if tls.pull_finished(input_buf).verify_data != expected:
            raise tls.AlertDecryptError("the server's Finished does not verify")
        self._schedule.update_hash(input_buf.data)
        # Before our certificate and Finished: a server that is refused learns nothing of us.
        self._pass_gate()
        self._schedule.extract(None)
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.ONE_RTT, b"s ap traffic")
        application_key = self._schedule.derive_secret(b"c ap traffic")
        self._answer_request(output_buf)
        self._push_finished(output_buf)
        self._enc_key = application_key
        self.update_traffic_key_cb(
            tls.Direction.ENCRYPT, tls.Epoch.ONE_RTT, self._schedule.cipher_suite, application_key
        )
        self._set_state(tls.State.CLIENT_POST_HANDSHAKE)

    def _answer_request(self, output: Buffer) -> None:
        request = self._certificate_request
        if request is None:
            return
        if self._own_scheme(request.signature_algorithms) is not None:
            self._push_certificate(output, request.request_context)
            return
        with tls.push_message(self._schedule, output):
            tls.push_certificate(output, tls.Certificate(request.request_context))


def _encoded(hello: tls.ClientHello) -> bytes:
    buffer = Buffer(capacity=HELLO_CAPACITY)
    tls.push_client_hello(buffer, hello)
    return buffer.data
