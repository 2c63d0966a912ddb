"""Real engines on loopback, with certificates of a CA made for the test."""

import time
from dataclasses import dataclass
from functools import cache

from stoq.api.stream import ByteStream
from stoq.engine import (
    CertificateAuthority,
    Engine,
    EngineSettings,
    HybridKey,
    Listener,
    TlsContext,
    Transport,
)

TRUST_DOMAIN = "test.example"
SERVER = f"spiffe://{TRUST_DOMAIN}/ns/stoq-system/sa/stoq-operator"
CLIENT = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/web"

HOUR = 3600


def authority(trust_domain: str = TRUST_DOMAIN) -> CertificateAuthority:
    """A CA whose root is valid for a day."""
    now = int(time.time())
    return CertificateAuthority.create(trust_domain, now - HOUR, now + 24 * HOUR)


def identity(
    ca: CertificateAuthority,
    spiffe_id: str,
    *,
    tokens: str = "off",
    max_shard: int | None = None,
    mirrors: bool = False,
    hops: bool = False,
    forwarded: bool = False,
    stripes: bool = False,
) -> TlsContext:
    """A context with an SVID of an hour and trust in `ca`, which offers peers so much."""
    tls = TlsContext(
        tokens=tokens,
        max_shard=max_shard,
        mirrors=mirrors,
        hops=hops,
        forwarded=forwarded,
        stripes=stripes,
    )
    _trust(tls, ca)
    tls.set_identity(*issued(ca, spiffe_id))
    return tls


@cache
def issued(
    ca: CertificateAuthority, spiffe_id: str, profile: str = "hybrid-1024"
) -> tuple[HybridKey, bytes]:
    """A key and its SVID of an hour, the same for every test: making a key takes as long as a
    handshake.
    """
    return _new(ca, spiffe_id, profile)


def _new(ca: CertificateAuthority, spiffe_id: str, profile: str) -> tuple[HybridKey, bytes]:
    now = int(time.time())
    key = HybridKey.generate(profile)
    return key, ca.issue(key.csr(), spiffe_id, now - 60, now + HOUR)


def give_identity(
    tls: TlsContext, ca: CertificateAuthority, spiffe_id: str, profile: str = "hybrid-1024"
) -> bytes:
    """Gives a context a new SVID of an hour, which is returned."""
    key, leaf = _new(ca, spiffe_id, profile)
    tls.set_identity(key, leaf)
    return leaf


def anonymous(ca: CertificateAuthority) -> TlsContext:
    """A context with trust in `ca` and no certificate."""
    tls = TlsContext()
    _trust(tls, ca)
    return tls


def _trust(tls: TlsContext, ca: CertificateAuthority) -> None:
    tls.set_trust(ca.certificate.spiffe_id.removeprefix("spiffe://"), [ca.root])


@dataclass(frozen=True)
class Pair:
    """Two engines, the one that serves API streams and its address."""

    server: Engine
    client: Engine
    remote: str


def server_settings() -> EngineSettings:
    """An engine that serves API streams on a free port of loopback."""
    listener = Listener(listen="[::1]:0")
    return EngineSettings(name="server", workers=1, bootstrap=listener, log_level="error")


def client_settings(*, dial_timeout_ms: int = 30_000) -> EngineSettings:
    """An engine that only dials, and waits so long for an answer."""
    transport = Transport(dial_timeout_ms=dial_timeout_ms)
    return EngineSettings(name="client", workers=1, transport=transport, log_level="error")


def address(server: Engine) -> str:
    """Where the server's API streams are."""
    return f"[::1]:{server.local_port('bootstrap')}"


async def opened(pair: Pair) -> tuple[ByteStream, ByteStream]:
    """A stream, seen from the client and from the server."""
    acceptor = pair.server.acceptor()
    near = await pair.client.dialler(pair.remote, SERVER).open()
    await near.send(b"!")
    accepted = await acceptor.accept()
    assert await accepted.recv() == b"!"
    return near, accepted
