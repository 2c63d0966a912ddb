"""What both sides of the handshake share: TLS 1.3 with hybrid keys (docs/wire-format.md, 2)."""

from typing import Any, NoReturn

from aioquic import tls
from aioquic.buffer import Buffer
from cryptography.hazmat.primitives import hashes

from stoq_reference.authorise import authorise
from stoq_reference.certificate import Certificate
from stoq_reference.composite import Scheme, certificate_verify_content
from stoq_reference.endpoint import ALPN, Endpoint, Ticket
from stoq_reference.errors import Reason, Refused
from stoq_reference.parameters import Parameters

EXPORTER_LENGTH = 32


class RefusalAlert(tls.Alert):
    """A refusal on its way to the peer as a TLS alert."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(str(refused))
        self.description = tls.AlertDescription(refused.reason.alert)
        self.refused = refused


class HybridContext(tls.Context):
    """aioquic's TLS, with another key exchange, other signatures, and the gate of H8."""

    def __init__(self, endpoint: Endpoint, *, is_client: bool, logger: Any = None) -> None:
        super().__init__(
            is_client,
            alpn_protocols=[ALPN],
            cipher_suites=list(endpoint.ciphers),
            logger=logger,
        )
        self._endpoint = endpoint
        self._signature_algorithms = list(endpoint.schemes)
        self._peer_leaf: bytes | None = None
        self._exporter_secret = b""
        self.peer: Certificate | None = None
        self.peer_parameters: Parameters | None = None
        self.new_session_ticket_cb = self._keep_ticket

    def exporter(self, label: bytes, context: bytes = b"", length: int = EXPORTER_LENGTH) -> bytes:
        """Keying material of this connection (RFC 8446, section 7.5)."""
        schedule = self._schedule
        secret = tls.hkdf_expand_label(
            schedule.algorithm,
            self._exporter_secret,
            label,
            schedule.hash_empty_value,
            schedule.algorithm.digest_size,
        )
        digest = hashes.Hash(schedule.algorithm)
        digest.update(context)
        return tls.hkdf_expand_label(
            schedule.algorithm, secret, b"exporter", digest.finalize(), length
        )

    @property
    def _schedule(self) -> tls.KeySchedule:
        assert self.key_schedule is not None
        return self.key_schedule

    def _setup_traffic_protection(
        self, direction: tls.Direction, epoch: tls.Epoch, label: bytes
    ) -> None:
        if label == b"s ap traffic":
            # The transcript now ends with the server's Finished, as the exporter's secret wants.
            self._exporter_secret = self._schedule.derive_secret(b"exp master")
        super()._setup_traffic_protection(direction, epoch, label)

    def _pass_gate(self) -> None:
        """The same authorisation for every handshake, full or resumed (H8)."""
        try:
            self.peer = authorise(self._peer_leaf, self._endpoint.policy, self._endpoint.clock())
            self._check_announced_key()
        except Refused as refused:
            raise RefusalAlert(refused) from None

    def _check_announced_key(self) -> None:
        announced = self.peer_parameters and self.peer_parameters.falcon_key_id
        if self.peer and announced not in (None, self.peer.keys.falcon_key_id):
            raise Refused(Reason.OTHER_FALCON_KEY, "the announced FALCON key is another (P3)")

    def _set_peer_certificate(self, certificate: tls.Certificate) -> None:
        self._peer_leaf = certificate.certificates[0][0]

    def _check_certificate_verify_signature(self, verify: tls.CertificateVerify) -> None:
        # The certificate itself is looked at again by the gate; here its keys are wanted.
        try:
            leaf = authorise(self._peer_leaf, self._endpoint.policy, self._endpoint.clock())
        except Refused as refused:
            raise RefusalAlert(refused) from None
        assert leaf is not None
        if verify.algorithm not in self._endpoint.schemes:
            _refuse("CertificateVerify by a scheme that was not offered")
        if verify.algorithm != leaf.keys.scheme:
            _refuse("CertificateVerify by a scheme that is not the certificate's")
        signer = tls.SERVER_CONTEXT_STRING if self._is_client else tls.CLIENT_CONTEXT_STRING
        content = certificate_verify_content(self._schedule.certificate_verify_data(signer))
        if fault := leaf.keys.verify(content, verify.signature):
            _refuse(fault)

    def _own_scheme(self, offered: list[int] | None) -> Scheme | None:
        """The scheme of our keys, if we have any and the peer takes it."""
        identity = self._endpoint.identity
        if identity is None or identity.keys.scheme not in (offered or ()):
            return None
        return identity.keys.scheme

    def _push_certificate(self, output: Buffer, context: bytes = b"") -> None:
        identity = self._endpoint.identity
        assert identity is not None
        entry = (identity.certificate.der, b"")
        with tls.push_message(self._schedule, output):
            tls.push_certificate(output, tls.Certificate(context, [entry]))
        signer = tls.CLIENT_CONTEXT_STRING if self._is_client else tls.SERVER_CONTEXT_STRING
        content = certificate_verify_content(self._schedule.certificate_verify_data(signer))
        verify = tls.CertificateVerify(identity.keys.scheme, identity.keys.sign(content))
        with tls.push_message(self._schedule, output):
            tls.push_certificate_verify(output, verify)

    def _push_finished(self, output: Buffer) -> None:
        assert self._enc_key is not None
        finished = tls.Finished(self._schedule.finished_verify_data(self._enc_key))
        with tls.push_message(self._schedule, output):
            tls.push_finished(output, finished)

    def _keep_ticket(self, session: tls.SessionTicket) -> None:
        self._endpoint.tickets[session.ticket] = Ticket(session, self._peer_leaf)


def _refuse(why: str) -> NoReturn:
    raise RefusalAlert(Refused(Reason.BAD_SIGNATURE, why))
