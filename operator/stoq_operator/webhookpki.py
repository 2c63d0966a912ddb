"""The certificates that the injection webhook serves with. Pure but for the keys it makes.

Ordinary TLS, since the API server is the only client: an authority of its own, and a certificate
for the webhook's Service. Nothing here is part of the mesh.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE: Final = timedelta(days=365)
"""Of the certificate and of its authority, whose key is not kept: both are always made together."""

RENEW_BEFORE: Final = timedelta(days=120)
"""Left of the life when a new pair is made."""

OVERLAP: Final = timedelta(minutes=10)
"""A certificate begins this long before it was made: clocks differ."""

SERVING: Final = ("tls.crt", "tls.key", "ca.crt")
"""The files of the Secret."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a Secret has, in PEM."""

    certificate: bytes
    key: bytes
    authority: bytes

    @property
    def files(self) -> dict[str, bytes]:
        """By file name."""
        return dict(zip(SERVING, (self.certificate, self.key, self.authority), strict=True))


def usable(files: Mapping[str, bytes], names: tuple[str, ...], now: datetime) -> bool:
    """Whether the files of a Secret serve `names` for a good while yet."""
    try:
        certificate = x509.load_pem_x509_certificate(files["tls.crt"])
        authority = x509.load_pem_x509_certificate(files["ca.crt"])
        key = serialization.load_pem_private_key(files["tls.key"], None)
        certificate.verify_directly_issued_by(authority)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (KeyError, ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    if key.public_key() != certificate.public_key():
        return False
    served = set(found.value.get_values_for_type(x509.DNSName))
    return set(names) <= served and certificate.not_valid_after_utc - now > RENEW_BEFORE


def make(names: tuple[str, ...], now: datetime) -> Serving:
    """A new authority and a certificate for `names`, the first of which is the subject."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stoq-webhook-ca")])
    root = (
        _builder(root_name, root_name, root_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        _builder(subject, root_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .sign(root_key, hashes.SHA256())
    )
    return Serving(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        root.public_bytes(serialization.Encoding.PEM),
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    moment = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - OVERLAP)
        .not_valid_after(moment + LIFE)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
