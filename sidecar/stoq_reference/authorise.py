"""Whether a peer may speak: the pure decision of H8 (docs/wire-format.md, section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stoq_reference.certificate import Certificate, parse_leaf, parse_root
from stoq_reference.errors import Malformed, Reason, Refused


@dataclass(frozen=True)
class Policy:
    """Whom an endpoint takes for its peer."""

    roots: Mapping[str, list[bytes]]
    """Root certificates (DER) by trust domain: ours, and federated ones."""
    expected: str | None = None
    """The SPIFFE id that the peer must have; None: any of a trust domain in `roots`."""
    revoked_serials: frozenset[int] = field(default=frozenset())
    revoked_identities: Mapping[str, int] = field(default_factory=dict)
    """Certificates of a SPIFFE id are revoked whose validity begins before this Unix time."""
    anonymous: bool = False
    """A server that takes clients without a certificate (H2)."""


def authorise(leaf: bytes | None, policy: Policy, now: float) -> Certificate | None:
    """The peer's certificate, if it may speak; None if it may without one. Raises Refused."""
    if leaf is None:
        if policy.anonymous:
            return None
        raise Refused(Reason.NO_CERTIFICATE, "the peer has no certificate")
    try:
        certificate = parse_leaf(leaf)
    except Malformed as error:
        raise Refused(Reason.BAD_CERTIFICATE, str(error)) from None
    _check_issuer(certificate, policy, now)
    _check_revocation(certificate, policy)
    if not certificate.not_before <= now < certificate.not_after + 1:
        raise Refused(Reason.OUTSIDE_VALIDITY, f"{certificate.spiffe_id} is outside its validity")
    if policy.expected not in (None, certificate.spiffe_id):
        raise Refused(Reason.OTHER_ID, f"{certificate.spiffe_id}, not {policy.expected}")
    return certificate


def _check_issuer(certificate: Certificate, policy: Policy, now: float) -> None:
    domain, name = certificate.trust_domain, certificate.spiffe_id
    if domain not in policy.roots:
        raise Refused(Reason.OTHER_TRUST_DOMAIN, f"{name} is of an unknown trust domain")
    roots = [parse_root(root) for root in policy.roots[domain]]
    issuers = (r for r in roots if r.trust_domain == domain and certificate.names_issuer(r))
    issuer = next(issuers, None)
    if issuer is None:
        raise Refused(Reason.UNKNOWN_ROOT, f"{name} was issued by an unknown root")
    if fault := certificate.signature_fault(issuer.keys):
        raise Refused(Reason.BAD_CERTIFICATE, fault)
    if not issuer.not_before <= now < issuer.not_after + 1:
        raise Refused(Reason.ROOT_EXPIRED, f"the root of {domain} is outside its validity")


def _check_revocation(certificate: Certificate, policy: Policy) -> None:
    if certificate.serial in policy.revoked_serials:
        raise Refused(Reason.REVOKED, f"serial number {certificate.serial:x} is revoked")
    if certificate.not_before < policy.revoked_identities.get(certificate.spiffe_id, 0):
        raise Refused(Reason.REVOKED, f"{certificate.spiffe_id} is revoked")
