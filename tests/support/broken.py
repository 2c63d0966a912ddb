"""Leaves that break one rule each, and why they are refused (docs/wire-format.md, section 10)."""

from collections.abc import Callable
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stoq_reference import der
from stoq_reference.certificate import ALT_ALGORITHM, ALT_PUBLIC_KEY, ALT_VALUE, ED25519
from stoq_reference.composite import Scheme
from stoq_reference.errors import Reason
from support.forge import Pair, bits, key_usage, leaf

DOMAIN = "vectors.example"
SPIFFE_ID = f"spiffe://{DOMAIN}/ns/shop/sa/web"
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


def with_another_signature_field(issuer: Pair) -> bytes:
    """The field that the alternative signature does not cover names Ed448; signed anew."""
    tbs, algorithm, _ = der.only(
        leaf(issuer, SPIFFE_ID).signed(issuer.private), der.SEQUENCE
    ).children()
    changed_tbs = tbs.encoded.replace(ED25519, ED25519[:-1] + b"\x71", 1)
    signature = Ed25519PrivateKey.from_private_bytes(issuer.private.ed25519).sign(changed_tbs)
    return der.encode(der.SEQUENCE, changed_tbs + algorithm.encoded + bits(signature))


def of_swapped_key_id(issuer: Pair) -> bytes:
    keys = issuer.public
    swapped = type(keys)(keys.falcon, keys.ed25519, keys.scheme).authority_key_id
    return changed(issuer_id=swapped)(issuer)


def without(*left_out: x509.ObjectIdentifier) -> Callable[[Pair], bytes]:
    """A leaf without these extensions."""
    return changed(left_out=frozenset(left_out))


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


GOOD: dict[str, dict[str, object]] = {
    "a leaf": {},
    "without basic constraints": {"left_out": frozenset((x509.BasicConstraints.oid,))},
    "without extended key usage": {"left_out": frozenset((x509.ExtendedKeyUsage.oid,))},
    "with an unknown extension that is not critical": {"further": [(SOMETHING, False)]},
    "with a subject": {"name": common_name("anything")},
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
    "another algorithm in the field signature": with_another_signature_field,
    "a FALCON key with another first byte": with_falcon_key(lambda key: b"\x0a" + key[1:]),
    "a FALCON key beyond the modulus": with_falcon_key(lambda key: key[:1] + b"\xff\xff" + key[3:]),
    "a FALCON key cut short": with_falcon_key(lambda key: key[:-1]),
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
