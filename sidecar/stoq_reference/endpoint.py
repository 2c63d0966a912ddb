"""What an endpoint is and whom it takes for a peer."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from aioquic.tls import CipherSuite, SessionTicket

from stoq_reference.authorise import Policy
from stoq_reference.certificate import Certificate, parse_leaf
from stoq_reference.composite import PrivateKeys, Scheme
from stoq_reference.parameters import Parameters

ALPN = "stoq/1"
MESH_PORTS = frozenset((0, 14000, 14001, 14006, 14008, 14012, 14020, 14053))
"""Destination ports that no flow may have (S2)."""


@dataclass(frozen=True)
class Identity:
    """A certificate and its private keys."""

    certificate: Certificate
    keys: PrivateKeys

    @classmethod
    def of(cls, leaf: bytes, keys: bytes) -> "Identity":
        """From a leaf (DER), and the Ed25519 seed with the FALCON private key behind it."""
        return cls(parse_leaf(leaf), PrivateKeys.joined(keys))


@dataclass(frozen=True)
class Ticket:
    """A session to resume, and the peer's certificate of its first handshake."""

    session: SessionTicket
    leaf: bytes | None


@dataclass
class Endpoint:
    """Everything that a client's or a server's connections share."""

    policy: Policy
    identity: Identity | None = None
    schemes: tuple[Scheme, ...] = (Scheme.ED25519_FALCON_1024,)
    """Signatures accepted of peers."""
    ciphers: tuple[CipherSuite, ...] = (
        CipherSuite.AES_256_GCM_SHA384,
        CipherSuite.AES_128_GCM_SHA256,
    )
    parameters: Parameters | None = field(default_factory=Parameters)
    """What is announced, the key id apart; None: like a plain QUIC endpoint."""
    tickets: dict[bytes, Ticket] = field(default_factory=dict)
    """Sessions that can be resumed, by ticket; a client's are all of one server."""
    addresses: frozenset[IPv4Address | IPv6Address] = frozenset()
    """Addresses of our own workload, for TCP flows."""
    clock: Callable[[], float] = time.time

    def announced(self) -> bytes:
        """Our transport parameters."""
        if self.parameters is None:
            return b""
        if self.identity is None or self.parameters.falcon_key_id is not None:
            return self.parameters.encode()
        key_id = self.identity.certificate.keys.falcon_key_id
        return replace(self.parameters, falcon_key_id=key_id).encode()
