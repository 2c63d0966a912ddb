"""The control process's own STOQ endpoint: its engine, key pair and trust."""

from collections.abc import Callable, Sequence
from typing import Final

from stoq.api.call import ServerLimits
from stoq.engine import Engine, EngineSettings, HybridKey, Listener, TlsContext
from stoq.engine.settings import Adapt, Limits, Transport
from stoq.registry import TrustEntry
from stoq_operator.ticketkeys import TicketKey

REFUSALS: Final = 1024
"""Streams beyond the calls that the server takes, to tell their callers so."""

SEND_WINDOW: Final = 65_536
"""Bytes that the engine sends one sidecar ahead of its ACKs: thousands may want half a megabyte at
once. At a round trip of a millisecond it is 500 Mbit/s."""

STREAM_WINDOW: Final = 65_536
"""Bytes that a caller may send on one stream before they are read: twice the largest request of a
sidecar."""

STREAMS: Final = 4
"""Calls that a sidecar may have on one connection: it watches, and signs now and then; for more it
makes a further one. Each that it may have takes memory in advance, some 100 bytes."""


class EngineEndpoint:
    """Serves API streams on one address: callers may lack a certificate there, nowhere else."""

    def __init__(self, listen: str, trust_domain: str, profile: str, log_level: str) -> None:
        self._trust_domain = trust_domain
        self._profile = profile
        self._key: HybridKey | None = None
        self._tls = TlsContext(profile=profile, accept_other_degree=True)
        self._settings = EngineSettings(
            name="stoq-control",
            # Calls are few and small; a second thread would only cost memory.
            workers=1,
            bootstrap=Listener(listen=listen),
            transport=Transport(
                stream_window=STREAM_WINDOW,
                connection_window=STREAMS * STREAM_WINDOW,
                send_window=SEND_WINDOW,
                max_streams=STREAMS,
            ),
            # It would widen the windows of each sidecar that is near.
            adapt=Adapt(mode="off"),
            # Each watcher holds a stream; the server says no in words, the engine by a reset.
            limits=Limits(api_streams=ServerLimits().calls + REFUSALS),
            log_level=log_level,  # type: ignore[arg-type]  # checked by the settings
        )
        self.engine: Engine | None = None
        self.on_installed: list[Callable[[], None]] = []
        """Called when another certificate is in force."""

    def start(self) -> Engine:
        """Opens the socket. Raises `OSError` when the address is taken or not ours."""
        self.engine = Engine(self._settings, self._tls)
        return self.engine

    def new_key(self) -> bytes:
        """Makes the next key pair and returns a CSR for it, DER."""
        self._key = HybridKey.generate(self._profile)
        return self._key.csr()

    def install(self, certificate: bytes) -> None:
        """Uses the last made key pair with `certificate` (DER) for handshakes to come, and proves
        it on live connections.
        """
        if self._key is None:
            raise ValueError("no key was made for this certificate; call new_key first")
        self._tls.set_identity(self._key, certificate)
        for told in self.on_installed:
            told()
        if self.engine is not None:
            self.engine.prove_identity()

    def ticket_keys(self, keys: Sequence[TicketKey]) -> None:
        """Gives session tickets by these keys, and takes those of whoever has them too."""
        self._tls.set_ticket_keys([(key.since, key.secret) for key in keys])

    def sign(self, digest: bytes, until: int) -> tuple[bytes, bytes] | None:
        """Our certificate, and our FALCON signature over a digest until a Unix time, 0.3 ms; None
        before the first certificate.
        """
        return self._tls.sign_statement(digest, until)

    def trust(self, trust: TrustEntry) -> None:
        """Trusts exactly these; live connections of the revoked are closed."""
        self._tls.set_trust(
            self._trust_domain,
            list(trust.roots),
            list(trust.revoked),
            revoked_identities=[(r.spiffe_id, r.before) for r in trust.revoked_identities],
        )
        if self.engine is not None:
            self.engine.reauthorise()
