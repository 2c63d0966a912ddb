"""Who may have which identity. Pure.

What holds however a pod proves itself is here, and one way to prove it: in the embedded mode by a
join token, 32 random bytes that only the pod holds, of which the store keeps the SHA-256. A token
is bound to the connection it is sent over, so one that is replayed on another proves nothing.
"""

import hmac
from collections.abc import Iterable, Mapping, Set
from enum import StrEnum
from typing import Final

from stoq import signing
from stoq.api.stream import Peer
from stoq.records.workload import Workload
from stoq.signing import MAX_CSR, MAX_TOKEN, SignRequest

MIN_TOKEN: Final = 16
"""Characters of a token; shorter ones could be guessed from their hash."""


class Refusal(StrEnum):
    """Why a signing was refused; the label of a metric."""

    TOKEN = "token"  # noqa: S105 - a reason, no secret
    BINDING = "binding"
    IDENTITY = "identity"
    REVOKED = "revoked"
    REQUEST = "request"
    RATE = "rate"
    UNKNOWN = "unknown"
    """Not known yet, or not known who it is: the caller may come again."""


class Refused(Exception):
    """The caller gets no certificate. The text is for both logs and says nothing of tokens."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def holders(workloads: Iterable[Workload]) -> dict[str, tuple[Workload, ...]]:
    """The workloads by the hash of their join token; those without a token are left out.

    Looking a token up by its hash tells nobody how near a guess was: SHA-256 of a near guess is
    nowhere near.
    """
    found: dict[str, tuple[Workload, ...]] = {}
    for workload in workloads:
        known = workload.spec.join_token_hash
        if known:
            found[known] = (*found.get(known, ()), workload)
    return found


def attest(
    request: SignRequest,
    exporter: bytes,
    peer: Peer | None,
    tokens: Mapping[str, tuple[Workload, ...]],
    trust_domain: str,
    barred: Set[str],
) -> Workload:
    """The workload that the caller has proved to be.

    `tokens` is what `holders` made of all workloads, `exporter` the connection's for
    `signing.BINDING_LABEL`, `peer` its certificate's identity if it has one, `barred` the SPIFFE
    ids that get no certificate. Raises `Refused`.
    """
    check_sizes(request)
    workload = _holder(request.token, tokens)
    check_binding(request, exporter)
    check_claims(request, workload, peer, trust_domain)
    if (own := workload.spiffe_id(trust_domain)) in barred:
        raise Refused(
            Refusal.REVOKED, f"{own} is revoked; remove its Revocation to let it join again"
        )
    return workload


def check_sizes(request: SignRequest) -> None:
    """Raises `Refused` for what can be no request of a sidecar."""
    if not len(request.csr) <= MAX_CSR:
        raise Refused(Refusal.REQUEST, f"the CSR has {len(request.csr)} bytes, {MAX_CSR} at most")
    if not MIN_TOKEN <= len(request.token) <= MAX_TOKEN:
        raise Refused(Refusal.TOKEN, f"the token is not {MIN_TOKEN} to {MAX_TOKEN} characters long")


def check_binding(request: SignRequest, exporter: bytes) -> None:
    """Raises `Refused` when the token was meant for another connection."""
    if not hmac.compare_digest(signing.binding(request.token, exporter), request.binding):
        raise Refused(
            Refusal.BINDING, "the token is not bound to this connection; it may have been replayed"
        )


def check_claims(
    request: SignRequest, workload: Workload, peer: Peer | None, trust_domain: str
) -> None:
    """Raises `Refused` when the caller says that it is another than `workload`."""
    own = workload.spiffe_id(trust_domain)
    name = f"{workload.metadata.namespace}/{workload.metadata.name}"
    if request.workload and request.workload != name:
        raise Refused(
            Refusal.IDENTITY,
            f"the token is that of workload {name}, the caller says it is {request.workload}",
        )
    if request.spiffe_id and request.spiffe_id != own:
        raise Refused(
            Refusal.IDENTITY, f"workload {name} is {own} and may not become {request.spiffe_id}"
        )
    if peer is not None and peer.spiffe_id != own:
        raise Refused(
            Refusal.IDENTITY, f"{peer.spiffe_id} sent the token of workload {name}, which is {own}"
        )


def _holder(token: str, tokens: Mapping[str, tuple[Workload, ...]]) -> Workload:
    """The one workload whose token it is."""
    found = tokens.get(signing.token_hash(token), ())
    if not found:
        raise Refused(
            Refusal.TOKEN,
            "no workload has this token; make one with `stoq-control join-token` and put it "
            "where the sidecar's token file is",
        )
    if len(found) > 1:
        names = ", ".join(str(workload.key) for workload in found)
        raise Refused(Refusal.TOKEN, f"{names} have the same token; give each its own")
    return found[0]
