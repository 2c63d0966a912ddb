"""Whether roots can be put in force, and what is to be said of those that are. Pure.

The engine says whether a certificate is a root and a key is its own. What else makes a root
useless for this mesh, at this time, is found here; each refusal names the field and the way out.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from stoq.engine import CertificateAuthority, HybridKey
from stoq.records.mesh import RootsReason
from stoq_operator.kept import KeptRoot, RootsRefused
from stoq_operator.problem import Problem
from stoq_operator.rotation import RENEW_BEFORE, Phase, Root

DEGREES: Final = {"hybrid-1024": "FALCON-1024", "hybrid-512": "FALCON-512"}
"""Of a root's second key, by profile."""

Authorities = Mapping[str, CertificateAuthority]
"""By the name of their root."""


def shortcoming(certificate: bytes) -> str:
    """The field by which `certificate` (DER) is no authority; empty when it is not for that.

    The engine refuses such a certificate too, without saying which of the two fields it is for.
    """
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
    except ValueError:
        return ""
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "its BasicConstraints have cA FALSE: it is no certificate authority"
    except x509.ExtensionNotFound:
        return "it has no BasicConstraints: it is no certificate authority"
    try:
        if not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            return "its KeyUsage lacks keyCertSign: it may not sign certificates"
    except x509.ExtensionNotFound:
        return "it has no KeyUsage with keyCertSign: it may not sign certificates"
    return ""


def authority(kept: KeptRoot, trust_domain: str) -> CertificateAuthority:
    """What signs with the root. Raises `RootsRefused`."""
    name = kept.root.name
    try:
        key = HybridKey.from_bytes(kept.key)
    except ValueError as error:
        raise _refused(f"the key of root {name}: {error}; restore it from a backup") from error
    try:
        found = CertificateAuthority.from_parts(key, kept.certificate)
    except ValueError as error:
        if lacking := shortcoming(kept.certificate):
            text = f"root {name}: {lacking}; bring a hybrid root"
        else:
            text = f"root {name}: {error}; restore it from a backup"
        raise _refused(text) from error
    if found.certificate.spiffe_id != f"spiffe://{trust_domain}":
        raise RootsRefused(
            Problem(
                RootsReason.FOREIGN.value,
                f"root {name} is of {found.certificate.spiffe_id}, the mesh is "
                f"spiffe://{trust_domain}; a new trust domain needs new roots",
            )
        )
    return found


def check(roots: Sequence[Root], authorities: Authorities, now: int) -> None:
    """Raises `RootsRefused` when these roots, together, sign nothing at `now` (Unix seconds)."""
    signing = [root for root in roots if root.phase is Phase.SIGNING]
    if len(signing) != 1:
        raise _refused(
            f"roots.json has {len(signing)} roots in phase signing; exactly one signs: restore it "
            "from a backup"
        )
    lives = {name: found.certificate for name, found in authorities.items()}
    successors = [root.name for root in roots if root.phase is Phase.NEXT]
    for name in successors:
        if lives[name].not_after <= now:
            raise _expired(name, lives[name].not_after)
    first = signing[0].name
    if lives[first].not_before > now:
        raise RootsRefused(
            Problem(
                RootsReason.EARLY.value,
                f"root {first} begins on {_date(lives[first].not_before)} (notBefore); bring one "
                "that has begun, or set the clocks right",
            )
        )
    # One that has ended makes way for its successor at once: that is what they are mended by.
    if lives[first].not_after <= now and not successors:
        raise _expired(first, lives[first].not_after)


def notices(
    roots: Sequence[Root], authorities: Authorities, profile: str, now: int
) -> tuple[Problem, ...]:
    """What is to be known of roots that are in force, and keeps them from nothing."""
    found = []
    for name in (root.name for root in roots if root.phase is Phase.SIGNING):
        said = authorities[name].certificate
        if said.not_after - now < RENEW_BEFORE:
            found.append(
                Problem(
                    "RootEndsSoon",
                    f"root {name} ends on {_date(said.not_after)} (notAfter). It gets a successor "
                    "by itself, which signs a day after it was made; back the Secret up then",
                )
            )
        if said.falcon != DEGREES.get(profile, said.falcon):
            found.append(
                Problem(
                    "RootOfAnotherProfile",
                    f"root {name} has a key of {said.falcon}, and the mesh's profile is {profile}; "
                    "stoqctl rotate makes one of that profile",
                )
            )
    return tuple(found)


def _refused(text: str) -> RootsRefused:
    return RootsRefused(Problem(RootsReason.REFUSED.value, text))


def _expired(name: str, end: int) -> RootsRefused:
    text = f"root {name} ended on {_date(end)} (notAfter); bring one that has not"
    return RootsRefused(Problem(RootsReason.EXPIRED.value, text))


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
