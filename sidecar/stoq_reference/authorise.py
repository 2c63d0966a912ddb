"""Whether a peer may speak: the pure decision of H8 (docs/wire-format.md, section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stoq_reference.certificate import Certificate, parse
from stoq_reference.errors import Malformed, Reason, Refused

PREFIX = "spiffe://"


@dataclass(frozen=True)
class Policy:
    """Whom an endpoint takes for its peer."""

    roots: Mapping[str, list[bytes]]
    """Root certificates (DER) by trust domain; the first domain is ours, others are federated."""
    expected: str | None = None
    """The SPIFFE id that the peer must have; None: any of a trust domain in `roots`."""
    revoked_serials: frozenset[int] = field(default=frozenset())
    anonymous: bool = False
    """A server that takes clients without a certificate (H2)."""


def authorise(leaf: bytes | None, policy: Policy, now: float) -> Certificate | None:
    """The peer's certificate, if it may speak; None if it may without one. Raises Refused."""
    if leaf is None:
        if policy.anonymous:
            return None
        raise Refused(Reason.NO_CERTIFICATE, "the peer has no certificate")
    certificate = _parsed(leaf)
    _check_issuer(certificate, policy, now)
    if certificate.serial in policy.revoked_serials:
        raise Refused(Reason.REVOKED, f"serial number {certificate.serial:x} is revoked")
    if not certificate.not_before <= now <= certificate.not_after:
        raise Refused(Reason.OUTSIDE_VALIDITY, f"{certificate.spiffe_id} is outside its validity")
    if policy.expected not in (None, certificate.spiffe_id):
        raise Refused(Reason.OTHER_ID, f"{certificate.spiffe_id}, not {policy.expected}")
    return certificate


def _parsed(leaf: bytes) -> Certificate:
    try:
        certificate = parse(leaf)
    except Malformed as error:
        raise Refused(Reason.BAD_CERTIFICATE, str(error)) from None
    if certificate.is_authority:
        raise Refused(Reason.BAD_CERTIFICATE, "the leaf may sign certificates")
    return certificate


def _check_issuer(certificate: Certificate, policy: Policy, now: float) -> None:
    domain = trust_domain(certificate.spiffe_id)
    if domain not in policy.roots:
        raise Refused(Reason.OTHER_TRUST_DOMAIN, f"{certificate.spiffe_id}: unknown trust domain")
    root = _issuer(certificate, domain, policy)
    if fault := certificate.signature_fault(root.keys):
        raise Refused(Reason.BAD_CERTIFICATE, fault)
    if not root.not_before <= now <= root.not_after:
        raise Refused(Reason.ROOT_EXPIRED, f"the root of {domain} is outside its validity")


def _issuer(certificate: Certificate, domain: str, policy: Policy) -> Certificate:
    for root in map(parse, policy.roots[domain]):
        if (
            root.is_authority
            and root.spiffe_id == PREFIX + domain
            and root.keys.authority_key_id == certificate.authority_key_id
        ):
            return root
    raise Refused(Reason.UNKNOWN_ROOT, f"{certificate.spiffe_id} was issued by an unknown root")


def trust_domain(spiffe_id: str) -> str:
    """The authority part of a workload's SPIFFE id."""
    parts = spiffe_id.removeprefix(PREFIX).split("/")
    match parts:
        case [domain, "ns", namespace, "sa", account] if (
            spiffe_id.startswith(PREFIX) and domain and namespace and account
        ):
            return domain
    raise Refused(
        Reason.BAD_CERTIFICATE,
        f"{spiffe_id!r} is no id of a workload: spiffe://<domain>/ns/<namespace>/sa/<account>",
    )
