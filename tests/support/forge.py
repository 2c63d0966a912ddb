"""A certificate authority in Python that keeps the rules, or breaks the one it is told to."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stoq_reference import der
from stoq_reference.certificate import (
    ALGORITHMS,
    ALT_ALGORITHM,
    ALT_PUBLIC_KEY,
    ALT_VALUE,
    ED25519,
)
from stoq_reference.composite import FALCON, PrivateKeys, PublicKeys, Scheme
from stoq_reference.pre_tbs import pre_tbs

ALGORITHM = {scheme: encoded for encoded, scheme in ALGORITHMS.items()}
BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2126, 1, 1, tzinfo=dt.UTC)
ROOT_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vectors")])


@dataclass(frozen=True)
class Pair:
    """Keys of both kinds, private and public."""

    private: PrivateKeys
    public: PublicKeys

    @classmethod
    def generate(cls, scheme: Scheme = Scheme.ED25519_FALCON_512) -> "Pair":
        seed = Ed25519PrivateKey.generate()
        public, private = FALCON[scheme].generate_keypair()
        classical = seed.public_key().public_bytes_raw()
        return cls(
            PrivateKeys(seed.private_bytes_raw(), private, scheme),
            PublicKeys(classical, public, scheme),
        )


def bits(value: bytes) -> bytes:
    return der.encode(der.BIT_STRING, b"\0" + value)


def key_usage(*, signs: bool, certifies: bool = False, revokes: bool = False) -> x509.KeyUsage:
    rest = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=signs, key_cert_sign=certifies, crl_sign=revokes, **rest)


@dataclass
class Draft:
    """A leaf before it is signed; what a test changes breaks a rule."""

    subject: Pair
    uris: list[str]
    issuer_id: bytes
    issuer_name: x509.Name = ROOT_NAME
    name: x509.Name = field(default_factory=lambda: x509.Name([]))
    usage: x509.KeyUsage = field(default_factory=lambda: key_usage(signs=True))
    authority: bool = False
    purposes: tuple[x509.ObjectIdentifier, ...] = (
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    )
    algorithm: Scheme = Scheme.ED25519_FALCON_512
    left_out: frozenset[x509.ObjectIdentifier] = frozenset()
    further: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)
    replaced: dict[x509.ObjectIdentifier, bytes] = field(default_factory=dict)
    """Values of extensions, whatever they should be."""
    edit: Callable[[list[bytes]], list[bytes]] = lambda fields: fields
    """Changes the encoded fields of the TBSCertificate before it is signed."""
    alternative_signature: Callable[[bytes], bytes] = lambda signature: signature

    def signed(self, issuer: PrivateKeys) -> bytes:
        """The certificate (DER), with both signatures."""
        content = pre_tbs(self._tbs(issuer, []))
        signature = self.alternative_signature(FALCON[issuer.scheme].sign(issuer.falcon, content))
        value = x509.UnrecognizedExtension(ALT_VALUE, bits(signature))
        tbs = self._tbs(issuer, [(value, False)])
        ordinary = Ed25519PrivateKey.from_private_bytes(issuer.ed25519).sign(tbs)
        return der.encode(der.SEQUENCE, tbs + ED25519 + bits(ordinary))

    def _tbs(self, issuer: PrivateKeys, last: list[tuple[x509.ExtensionType, bool]]) -> bytes:
        """What is signed."""
        built = der.only(self._build(issuer, last).tbs_certificate_bytes, der.SEQUENCE)
        fields = [field.encoded for field in built.children()]
        return der.encode(der.SEQUENCE, b"".join(self.edit(fields)))

    def _build(
        self, issuer: PrivateKeys, last: list[tuple[x509.ExtensionType, bool]]
    ) -> x509.Certificate:
        key = Ed25519PrivateKey.from_private_bytes(self.subject.private.ed25519).public_key()
        # Given to the constructor: the builder's own method takes no extension twice.
        extensions = [
            x509.Extension(extension.oid, critical, self._replacing(extension))
            for extension, critical in (*self._extensions(), *self.further, *last)
            if extension.oid not in self.left_out
        ]
        builder = x509.CertificateBuilder(
            self.issuer_name, self.name, key, 0x1234, BEGIN, END, extensions
        )
        return builder.sign(Ed25519PrivateKey.from_private_bytes(issuer.ed25519), None)

    def _replacing(self, extension: x509.ExtensionType) -> x509.ExtensionType:
        value = self.replaced.get(extension.oid)
        return extension if value is None else x509.UnrecognizedExtension(extension.oid, value)

    def _extensions(self) -> list[tuple[x509.ExtensionType, bool]]:
        public = self.subject.public
        key = der.encode(der.SEQUENCE, ALGORITHM[public.scheme] + bits(public.falcon))
        names = [x509.UniformResourceIdentifier._init_without_validation(u) for u in self.uris]
        algorithm = ALGORITHM[self.algorithm]
        return [
            (x509.SubjectAlternativeName(names), True),
            (x509.AuthorityKeyIdentifier(self.issuer_id, None, None), False),
            (x509.UnrecognizedExtension(ALT_PUBLIC_KEY, key), False),
            (x509.UnrecognizedExtension(ALT_ALGORITHM, algorithm), False),
            (x509.BasicConstraints(self.authority, 0 if self.authority else None), True),
            (self.usage, True),
            (x509.ExtendedKeyUsage(self.purposes), False),
        ]


def leaf(issuer: Pair, spiffe_id: str, **changes: object) -> Draft:
    """A leaf of a root with these keys, as it should be but for `changes`."""
    draft = Draft(
        Pair.generate(), [spiffe_id], issuer.public.authority_key_id, algorithm=issuer.public.scheme
    )
    for name, value in changes.items():
        setattr(draft, name, value)
    return draft


def root(keys: Pair, trust_domain: str, **changes: object) -> bytes:
    """A root (DER) that has signed itself."""
    draft = Draft(
        keys,
        [f"spiffe://{trust_domain}"],
        keys.public.authority_key_id,
        name=ROOT_NAME,
        usage=key_usage(signs=False, certifies=True, revokes=True),
        authority=True,
        algorithm=keys.public.scheme,
        left_out=frozenset((x509.ExtendedKeyUsage.oid,)),
    )
    for name, value in changes.items():
        setattr(draft, name, value)
    return draft.signed(keys.private)
