"""Hybrid certificates, taken apart (docs/decisions/0004-hybrid-certificates.md)."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from stoq_reference import der
from stoq_reference.composite import FALCON, PublicKeys, Scheme
from stoq_reference.errors import Malformed

ALT_PUBLIC_KEY = x509.ObjectIdentifier("2.5.29.72")
ALT_ALGORITHM = x509.ObjectIdentifier("2.5.29.73")
ALT_VALUE = x509.ObjectIdentifier("2.5.29.74")
ALT_VALUE_DER = bytes.fromhex("0603551d4a")

ALGORITHMS = {
    bytes.fromhex("300706052bce0f0313"): Scheme.ED25519_FALCON_1024,
    bytes.fromhex("300706052bce0f0310"): Scheme.ED25519_FALCON_512,
}
"""AlgorithmIdentifiers of falconpadded1024 (1.3.9999.3.19) and falconpadded512 (1.3.9999.3.16)."""

KNOWN = {
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ALT_PUBLIC_KEY,
    ALT_ALGORITHM,
    ALT_VALUE,
}


@dataclass(frozen=True)
class Certificate:
    """What a leaf or root says; nothing of it is verified yet."""

    der: bytes
    x509: x509.Certificate
    keys: PublicKeys
    spiffe_id: str
    authority_key_id: bytes
    is_authority: bool
    issuer_scheme: Scheme
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

    def signature_fault(self, issuer: PublicKeys) -> str | None:
        """What is wrong with the issuer's two signatures, if anything."""
        if self.issuer_scheme != issuer.scheme:
            return "the alternative signature is of another degree than the issuer's key"
        return issuer.verify_parts(
            (self.x509.tbs_certificate_bytes, self.x509.signature),
            (pre_tbs(self.x509.tbs_certificate_bytes), self.alternative_signature),
        )


def parse(encoded: bytes) -> Certificate:
    """Reads a certificate. Raises Malformed for one that is not of decision 4's form."""
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ED25519:
            raise Malformed("certificate: its ordinary signature is not Ed25519")
        key = certificate.public_key()
        extensions = certificate.extensions
        return Certificate(
            der=encoded,
            x509=certificate,
            keys=_keys(key, _unrecognized(extensions, ALT_PUBLIC_KEY)),
            spiffe_id=_spiffe_id(extensions),
            authority_key_id=_authority_key_id(extensions),
            is_authority=_is_authority(extensions),
            issuer_scheme=_scheme(_unrecognized(extensions, ALT_ALGORITHM)),
            alternative_signature=der.bit_string(
                der.only(_unrecognized(extensions, ALT_VALUE), der.BIT_STRING)
            ),
        )
    except (ValueError, x509.DuplicateExtension, x509.ExtensionNotFound) as error:
        raise Malformed(f"certificate: {error}") from None


def _keys(classical: object, alternative: bytes) -> PublicKeys:
    if not isinstance(classical, Ed25519PublicKey):
        raise Malformed("certificate: its ordinary key is not Ed25519")
    algorithm, bits = der.only(alternative, der.SEQUENCE).children()
    scheme, falcon = _scheme(algorithm.encoded), der.bit_string(bits)
    if len(falcon) != FALCON[scheme].PUBLIC_KEY_SIZE:
        raise Malformed(f"certificate: a FALCON key of {len(falcon)} bytes")
    return PublicKeys(classical.public_bytes_raw(), falcon, scheme)


def _scheme(algorithm: bytes) -> Scheme:
    if algorithm not in ALGORITHMS:
        raise Malformed(f"certificate: unknown alternative algorithm {algorithm.hex()}")
    return ALGORITHMS[algorithm]


def _unrecognized(extensions: x509.Extensions, oid: x509.ObjectIdentifier) -> bytes:
    value = extensions.get_extension_for_oid(oid).value
    assert isinstance(value, x509.UnrecognizedExtension)
    return value.value


def _spiffe_id(extensions: x509.Extensions) -> str:
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    if len(uris) != 1:
        raise Malformed(f"certificate: {len(uris)} URI names, where one is to be the SPIFFE id")
    return uris[0]


def _authority_key_id(extensions: x509.Extensions) -> bytes:
    named = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    if named is None:
        raise Malformed("certificate: it does not name the key of its issuer")
    return named


def _is_authority(extensions: x509.Extensions) -> bool:
    for extension in extensions:
        if extension.critical and extension.oid not in KNOWN:
            raise Malformed(f"certificate: unknown critical extension {extension.oid.dotted_string}")
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    if constraints.ca != usage.key_cert_sign:
        raise Malformed("certificate: its basic constraints and key usage contradict each other")
    return constraints.ca


def pre_tbs(tbs: bytes) -> bytes:
    """The PreTBSCertificate: the TBSCertificate without `signature` and AltSignatureValue."""
    version, serial, _signature, *rest = der.only(tbs, der.SEQUENCE).children()
    kept = [version.encoded, serial.encoded]
    for field in rest:
        kept.append(_without_value(field) if field.tag == der.EXPLICIT_3 else field.encoded)
    return der.encode(der.SEQUENCE, b"".join(kept))


def _without_value(field: der.Element) -> bytes:
    extensions = der.only(field.body, der.SEQUENCE).children()
    kept = b"".join(e.encoded for e in extensions if not e.body.startswith(ALT_VALUE_DER))
    return der.encode(der.EXPLICIT_3, der.encode(der.SEQUENCE, kept))
