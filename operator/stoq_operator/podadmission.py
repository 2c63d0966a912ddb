"""Admission by the projected token of a pod, which the API server reviews.

There is no ledger: replicas share none, and need none, since every signing is attested anew. An
identity is revoked as such, up to the moment of its Revocation; its pods prove themselves again and
get certificates from after it.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from stoq.api.call import Context
from stoq.records.revocation import Revocation
from stoq.registry import RevokedIdentity
from stoq.signing import BINDING_LABEL, SignRequest
from stoq_kube.apiserver import TOKEN_REVIEWS, ApiError, Client
from stoq_operator.attest import check_binding, check_claims, check_sizes
from stoq_operator.kept import Grant, Revoked, StateError
from stoq_operator.ledger import named_serials
from stoq_operator.podtoken import holder, proven, review
from stoq_operator.world import World

REVIEWS_AT_ONCE: Final = 32
"""Tokens that the API server is asked about at a time. Each of more would have a connection of its
own: when thousands of pods join, their TLS would take more memory than all that the operator knows.
"""


class PodTokens:
    """See `Admission`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reviews = asyncio.Semaphore(REVIEWS_AT_ONCE)

    async def admit(
        self, request: SignRequest, context: Context, world: Callable[[], World]
    ) -> Grant:
        """See `Admission`. What costs the API server nothing is looked at first."""
        check_sizes(request)
        check_binding(request, context.exporter(BINDING_LABEL))
        try:
            async with self._reviews:
                answer = await self._client.request(
                    "post", TOKEN_REVIEWS.path(""), review(request.token)
                )
        except ApiError as error:
            raise StateError(f"a token can not be reviewed: {error}") from error
        found = proven(answer.get("status") or {})
        # The pods as they are after the review, not before it.
        now = world()
        workload = holder(found, now.pods)
        check_claims(request, workload, context.peer, now.mesh.trust_domain)
        return Grant(uid=workload.uid, spiffe_id=workload.spiffe_id(now.mesh.trust_domain))

    def signed(self, grant: Grant, serial: str, issued: int, expires: int) -> None:
        """See `Admission`. Nothing is remembered."""

    def revoked(self, revocations: Iterable[Revocation], _now: float) -> Revoked:
        """See `Admission`."""
        found = tuple(revocations)
        return Revoked(
            serials=named_serials(found),
            identities=tuple(
                sorted(
                    (
                        RevokedIdentity(item.spec.spiffe_id, item.since)
                        for item in found
                        if item.spec.spiffe_id is not None
                    ),
                    key=lambda item: (item.spiffe_id, item.before),
                )
            ),
        )

    def tidy(self, _now: float) -> None:
        """See `Admission`."""
