"""Leaves that break one rule each, and why they are refused (docs/wire-format.md, section 10)."""

from collections.abc import Callable
from dataclasses import replace

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stoq_reference import der
from stoq_reference.certificate import ALT_ALGORITHM, ALT_PUBLIC_KEY, ALT_VALUE
from stoq_reference.composite import Scheme
from stoq_reference.errors import Reason
from support.forge import ALGORITHM, Pair, bits, key_usage, leaf

DOMAIN = "vectors.example"
SPIFFE_ID = f"spiffe://{DOMAIN}/ns/shop/sa/web"
KEY_USAGE = x509.KeyUsage.oid
ED448 = bytes.fromhex("300506032b6571")
UNKNOWN = x509.ObjectIdentifier("1.3.9999.77")
SOMETHING = x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00")


def changed(**changes: object) -> Callable[[Pair], bytes]:
    """A leaf with changes, signed by its issuer with both keys."""
    return lambda issuer: leaf(issuer, SPIFFE_ID, **changes).signed(issuer.private)


def named(*uris: str) -> Callable[[Pair], bytes]:
    """A leaf with these URIs."""
    return changed(uris=list(uris))


def signed_by_others(*, ed25519: bool, falcon: bool) -> Callable[[Pair], bytes]:
    """A leaf that names its issuer, with signatures that others made."""

    def made(issuer: Pair) -> bytes:
        stranger = Pair.generate(issuer.public.scheme).private
        mixed = type(stranger)(
            stranger.ed25519 if ed25519 else issuer.private.ed25519,
            stranger.falcon if falcon else issuer.private.falcon,
            stranger.scheme,
        )
        return leaf(issuer, SPIFFE_ID).signed(mixed)

    return made


def with_falcon_key(change: Callable[[bytes], bytes]) -> Callable[[Pair], bytes]:
    """A leaf whose FALCON key is encoded in another way."""

    def made(issuer: Pair) -> bytes:
        draft = leaf(issuer, SPIFFE_ID)
        public = replace(draft.subject.public, falcon=change(draft.subject.public.falcon))
        draft.subject = replace(draft.subject, public=public)
        return draft.signed(issuer.private)

    return made


def of_swapped_key_id(issuer: Pair) -> bytes:
    keys = issuer.public
    swapped = type(keys)(keys.falcon, keys.ed25519, keys.scheme).authority_key_id
    return changed(issuer_id=swapped)(issuer)


def without(*left_out: x509.ObjectIdentifier) -> Callable[[Pair], bytes]:
    """A leaf without these extensions."""
    return changed(left_out=frozenset(left_out))


def with_field(at: int, value: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """An edit that writes another field of the TBSCertificate."""
    return lambda fields: [*fields[:at], value, *fields[at + 1 :]]


def with_serial(contents: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """An edit that writes these bytes for the serial number."""
    return with_field(1, der.encode(der.INTEGER, contents))


def numbered(contents: bytes) -> Callable[[Pair], bytes]:
    """A leaf with these bytes for its serial number."""
    return changed(edit=with_serial(contents))


def saying_that_nothing_is_critical(fields: list[bytes]) -> list[bytes]:
    """An edit that writes FALSE, the default, where an extension is not critical."""
    field = der.only(fields[-1], der.EXPLICIT_3)
    extensions = b""
    for extension in der.only(field.body, der.SEQUENCE).children():
        name, *rest = (part.encoded for part in extension.children())
        rest = [b"\x01\x01\x00", *rest] if len(rest) == 1 else rest
        extensions += der.encode(der.SEQUENCE, name + b"".join(rest))
    return [*fields[:-1], der.encode(der.EXPLICIT_3, der.encode(der.SEQUENCE, extensions))]


def saying(oid: x509.ObjectIdentifier, value: str) -> Callable[[Pair], bytes]:
    """A leaf with another value (hexadecimal) of an extension."""
    return changed(replaced={oid: bytes.fromhex(value)})


def with_parameters(oid: x509.ObjectIdentifier) -> Callable[[Pair], bytes]:
    """A leaf with an AlgorithmIdentifier in this extension that has NULL for parameters."""

    def made(issuer: Pair) -> bytes:
        draft = leaf(issuer, SPIFFE_ID)
        plain = ALGORITHM[issuer.public.scheme]
        null = der.encode(der.SEQUENCE, der.only(plain, der.SEQUENCE).body + b"\x05\x00")
        key = der.encode(der.SEQUENCE, null + bits(draft.subject.public.falcon))
        draft.replaced = {oid: key if oid == ALT_PUBLIC_KEY else null}
        return draft.signed(issuer.private)

    return made


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


GOOD: dict[str, dict[str, object]] = {
    "a leaf": {},
    "without basic constraints": {"left_out": frozenset((x509.BasicConstraints.oid,))},
    "without extended key usage": {"left_out": frozenset((x509.ExtendedKeyUsage.oid,))},
    "with an unknown extension that is not critical": {"further": [(SOMETHING, False)]},
    "with a subject": {"name": common_name("anything")},
    "with the longest serial number": {"edit": with_serial(b"\x7f" + b"\xff" * 19)},
    "with further bits in KeyUsage": {"replaced": {x509.KeyUsage.oid: bytes.fromhex("030206c0")}},
}
"""Changes to a leaf that break no rule."""

FORM: dict[str, Callable[[Pair], bytes]] = {
    "it may sign certificates": changed(usage=key_usage(signs=True, certifies=True)),
    "it may sign revocation lists": changed(usage=key_usage(signs=True, revokes=True)),
    "it may not sign handshakes": changed(usage=key_usage(signs=False)),
    "it is an authority": changed(authority=True),
    "it is for servers only": changed(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "no KeyUsage": without(x509.KeyUsage.oid),
    "no SubjectAltName": without(x509.SubjectAlternativeName.oid),
    "no URI": named(),
    "two URIs": named(SPIFFE_ID, SPIFFE_ID),
    "a NUL byte in the URI": named(SPIFFE_ID + "\0"),
    "another scheme": named(SPIFFE_ID.replace("spiffe", "https")),
    "capitals in the trust domain": named(f"spiffe://Vectors.example{SPIFFE_ID[24:]}"),
    "no path": named(f"spiffe://{DOMAIN}"),
    "a path that goes on": named(SPIFFE_ID + "/more"),
    "an empty segment": named(f"spiffe://{DOMAIN}/ns//sa/web"),
    "a segment of two dots": named(f"spiffe://{DOMAIN}/ns/../sa/web"),
    "a percent sign": named(SPIFFE_ID + "%20"),
    "no alternative key": without(ALT_PUBLIC_KEY),
    "no alternative algorithm": without(ALT_ALGORITHM),
    "no alternative signature": without(ALT_VALUE),
    "an unknown critical extension": changed(further=[(SOMETHING, True)]),
    "another algorithm in the field signature": changed(edit=with_field(2, ED448)),
    "a FALCON key with another first byte": with_falcon_key(lambda key: b"\x0a" + key[1:]),
    "a FALCON key beyond the modulus": with_falcon_key(lambda key: key[:1] + b"\xff\xff" + key[3:]),
    "a FALCON key cut short": with_falcon_key(lambda key: key[:-1]),
    "parameters of the alternative algorithm": with_parameters(ALT_ALGORITHM),
    "parameters of the alternative key's algorithm": with_parameters(ALT_PUBLIC_KEY),
    "an alternative algorithm that nobody knows": saying(ALT_ALGORITHM, "300706052bce0f0311"),
    "a serial number below zero": numbered(b"\xff\x34"),
    "a serial number of zero": numbered(b"\0"),
    "a serial number of 21 bytes": numbered(b"\x01" + bytes(20)),
    "a serial number of 21 bytes, the first of them zero": numbered(b"\0" + b"\xff" * 20),
    "a KeyUsage with a bit set among those it does not use": saying(KEY_USAGE, "03020781"),
    "a KeyUsage that ends in zero bits": saying(KEY_USAGE, "03020080"),
    "a KeyUsage that ends in a zero byte": saying(KEY_USAGE, "0303078000"),
    "a KeyUsage with a bit that has no meaning": saying(KEY_USAGE, "0303068040"),
    "basic constraints that say FALSE": saying(x509.BasicConstraints.oid, "3003010100"),
    "extensions that say FALSE of being critical": changed(edit=saying_that_nothing_is_critical),
    "an extension twice": changed(further=[(SOMETHING, False)] * 2),
}
"""Leaves that no root makes good."""

SIGNATURES: dict[str, Callable[[Pair], bytes]] = {
    "the ordinary signature by another key": signed_by_others(ed25519=True, falcon=False),
    "the alternative signature by another key": signed_by_others(ed25519=False, falcon=True),
    "both signatures by other keys": signed_by_others(ed25519=True, falcon=True),
    "an alternative signature of zeros": changed(alternative_signature=lambda s: bytes(len(s))),
    "an alternative signature cut short": changed(alternative_signature=lambda s: s[:-1]),
    "an alternative algorithm of the other degree": changed(algorithm=Scheme.ED25519_FALCON_1024),
}
"""Leaves that name their root, which has not signed them so."""

ISSUERS: dict[str, Callable[[Pair], bytes]] = {
    "another key identifier": changed(issuer_id=bytes(20)),
    "a key identifier over the keys in the other order": of_swapped_key_id,
    "no AuthorityKeyIdentifier": without(x509.AuthorityKeyIdentifier.oid),
    "another issuer's name": changed(issuer_name=common_name("another")),
}

REFUSED: dict[str, tuple[Callable[[Pair], bytes], Reason]] = {
    **{name: (made, Reason.BAD_CERTIFICATE) for name, made in {**FORM, **SIGNATURES}.items()},
    **{name: (made, Reason.UNKNOWN_ROOT) for name, made in ISSUERS.items()},
    "another trust domain": (
        named("spiffe://other.example/ns/shop/sa/web"),
        Reason.OTHER_TRUST_DOMAIN,
    ),
}
