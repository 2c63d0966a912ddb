"""Hybrid certificates, taken apart (docs/wire-format.md, section 10)."""

import warnings
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID

from stoq_reference import der, spiffe, strictness
from stoq_reference.composite import PublicKeys, Scheme, falcon_key_fault
from stoq_reference.errors import Malformed
from stoq_reference.pre_tbs import pre_tbs

T = TypeVar("T", bound=x509.ExtensionType)

MAX_LENGTH = 8192
"""Bytes of the longest certificate."""

ALT_PUBLIC_KEY = x509.ObjectIdentifier("2.5.29.72")
ALT_ALGORITHM = x509.ObjectIdentifier("2.5.29.73")
ALT_VALUE = x509.ObjectIdentifier("2.5.29.74")

ALGORITHMS = {
    bytes.fromhex("300706052bce0f0313"): Scheme.ED25519_FALCON_1024,
    bytes.fromhex("300706052bce0f0310"): Scheme.ED25519_FALCON_512,
}
"""AlgorithmIdentifiers of falconpadded1024 (1.3.9999.3.19) and falconpadded512 (1.3.9999.3.16)."""

ED25519 = bytes.fromhex("300506032b6570")
"""AlgorithmIdentifier of Ed25519 (RFC 8410, section 3)."""

UNREADABLE = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
)
"""What cryptography raises for certificates it cannot read."""

MAY_BE_CRITICAL = {
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ALT_PUBLIC_KEY,
    ALT_ALGORITHM,
    ALT_VALUE,
}
"""The extensions that are acted upon."""


@dataclass(frozen=True)
class Certificate:
    """What a leaf or root says; whoever signed it is not looked at yet."""

    der: bytes
    x509: x509.Certificate
    keys: PublicKeys
    spiffe_id: str
    trust_domain: str
    authority_key_id: bytes | None
    alternative_algorithm: Scheme
    alternative_signature: bytes

    @property
    def not_before(self) -> int:
        """First second of its validity, Unix time."""
        return int(self.x509.not_valid_before_utc.timestamp())

    @property
    def not_after(self) -> int:
        """Last second of its validity, Unix time."""
        return int(self.x509.not_valid_after_utc.timestamp())

    @property
    def serial(self) -> int:
        """Serial number."""
        return self.x509.serial_number

    def names_issuer(self, root: "Certificate") -> bool:
        """Whether it says that `root` issued it (K6)."""
        return (
            self.x509.issuer.public_bytes() == root.x509.subject.public_bytes()
            and self.authority_key_id == root.keys.authority_key_id
        )

    def signature_fault(self, issuer: PublicKeys) -> str | None:
        """What is wrong with the two signatures of the issuer, if anything (K3, K4)."""
        if self.alternative_algorithm != issuer.scheme:
            return "the alternative signature is of another degree than the issuer's key"
        tbs = self.x509.tbs_certificate_bytes
        return issuer.verify_parts(
            (tbs, self.x509.signature), (pre_tbs(tbs), self.alternative_signature)
        )


def parse_leaf(encoded: bytes) -> Certificate:
    """Reads the certificate of a workload. Raises Malformed."""
    certificate, extensions = _parse(encoded)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    signs = usage.key_cert_sign or usage.crl_sign
    if _is_authority(extensions) or signs or not usage.digital_signature:
        raise Malformed("certificate: it is not for a leaf, which signs handshakes and no more")
    if (purposes := _optional(extensions, x509.ExtendedKeyUsage)) is not None:
        both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        if not both <= set(purposes):
            raise Malformed("certificate: it is not for clients and servers alike")
    return _checked(certificate, extensions, encoded, root=False)


def parse_root(encoded: bytes) -> Certificate:
    """Reads a root, and verifies that it is signed by itself. Raises Malformed."""
    certificate, extensions = _parse(encoded)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    if not _is_authority(extensions) or not usage.key_cert_sign:
        raise Malformed("certificate: it is not for a root, which signs certificates")
    if certificate.issuer.public_bytes() != certificate.subject.public_bytes():
        raise Malformed("certificate: another has issued the root")
    root = _checked(certificate, extensions, encoded, root=True)
    if fault := root.signature_fault(root.keys):
        raise Malformed(f"certificate: {fault}")
    return root


def _parse(encoded: bytes) -> tuple[x509.Certificate, x509.Extensions]:
    if len(encoded) > MAX_LENGTH:
        raise Malformed(f"certificate of {len(encoded)} bytes: at most {MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            # What cryptography only warns of breaks RFC 5280, such as a negative serial number.
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            certificate = x509.load_der_x509_certificate(encoded)
            _ = certificate.serial_number
        extensions = certificate.extensions
        extensions.get_extension_for_class(x509.KeyUsage)
    except UNREADABLE as error:
        raise Malformed(f"certificate: {error}") from None
    if certificate.version is not x509.Version.v3:
        raise Malformed("certificate: it is not of version 3")
    strictness.check(certificate.tbs_certificate_bytes)
    for extension in extensions:
        if extension.critical and extension.oid not in MAY_BE_CRITICAL:
            raise Malformed(f"certificate: {extension.oid.dotted_string} is critical, and unknown")
    return certificate, extensions


def _checked(
    certificate: x509.Certificate, extensions: x509.Extensions, encoded: bytes, *, root: bool
) -> Certificate:
    named = der.only(certificate.tbs_certificate_bytes, der.SEQUENCE).children()[2].encoded
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ED25519 or named != ED25519:
        raise Malformed("certificate: its ordinary signature is not Ed25519")
    spiffe_id = _uri(extensions)
    read = spiffe.trust_domain_of_root if root else spiffe.trust_domain_of_workload
    issuer = _optional(extensions, x509.AuthorityKeyIdentifier)
    signature = der.only(_value(extensions, ALT_VALUE), der.BIT_STRING)
    return Certificate(
        der=encoded,
        x509=certificate,
        keys=_keys(certificate, _value(extensions, ALT_PUBLIC_KEY)),
        spiffe_id=spiffe_id,
        trust_domain=read(spiffe_id),
        authority_key_id=issuer.key_identifier if issuer else None,
        alternative_algorithm=_algorithm(_value(extensions, ALT_ALGORITHM)),
        alternative_signature=der.bit_string(signature),
    )


def _optional(extensions: x509.Extensions, kind: type[T]) -> T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_authority(extensions: x509.Extensions) -> bool:
    constraints = _optional(extensions, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _uri(extensions: x509.Extensions) -> str:
    names = _optional(extensions, x509.SubjectAlternativeName) or ()
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    if len(uris) != 1:
        raise Malformed(f"certificate: {len(uris)} URI names, where one is to be the SPIFFE id")
    return uris[0]


def _value(extensions: x509.Extensions, oid: x509.ObjectIdentifier) -> bytes:
    try:
        value = extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        raise Malformed(f"certificate: extension {oid.dotted_string} is missing") from None
    assert isinstance(value, x509.UnrecognizedExtension)
    return value.value


def _keys(certificate: x509.Certificate, alternative: bytes) -> PublicKeys:
    try:
        classical = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed(f"certificate: {error}") from None
    if not isinstance(classical, Ed25519PublicKey):
        raise Malformed("certificate: its ordinary key is not Ed25519")
    parts = der.only(alternative, der.SEQUENCE).children()
    if len(parts) != 2:
        raise Malformed("certificate: the alternative key has not two parts")
    scheme, falcon = _algorithm(parts[0].encoded), der.bit_string(parts[1])
    if fault := falcon_key_fault(falcon, scheme):
        raise Malformed(f"certificate: {fault}")
    return PublicKeys(classical.public_bytes_raw(), falcon, scheme)


def _algorithm(encoded: bytes) -> Scheme:
    if encoded not in ALGORITHMS:
        raise Malformed(f"certificate: unknown alternative algorithm {encoded.hex()}")
    return ALGORITHMS[encoded]
