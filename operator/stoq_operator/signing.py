"""Serves the certificate authority's one call."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from stoq.api.call import Context
from stoq.api.errors import ApiError, BadRequest, Unauthorised, Unavailable
from stoq.api.server import ApiServer
from stoq.registry import TrustEntry
from stoq.signing import SIGN, SignRequest, SignResponse
from stoq_operator.attest import Refusal, Refused
from stoq_operator.ca import Ca
from stoq_operator.kept import Admission, StateError
from stoq_operator.metrics import Metrics
from stoq_operator.rate import Rate
from stoq_operator.world import World

log: Final = logging.getLogger(__name__)


class Signing:
    """Has the caller admitted, signs, and has the revocation list renewed where it changed."""

    def __init__(
        self,
        ca: Ca,
        admission: Admission,
        rate: Rate,
        metrics: Metrics,
        *,
        world: Callable[[], World],
        issued: Callable[[], TrustEntry],
    ) -> None:
        """`world` gives the records in force; `issued` is called after each signing and returns
        whom to trust.
        """
        self._ca = ca
        self._admission = admission
        self._rate = rate
        self._metrics = metrics
        self._world = world
        self._issued = issued

    def register(self, server: ApiServer) -> None:
        """Adds `Sign`, the only method open to callers without a certificate."""
        server.unary(SIGN, self.sign, anonymous=True)

    async def sign(self, request: SignRequest, context: Context) -> SignResponse:
        """Handler of `SIGN`."""
        try:
            return await self._sign(request, context)
        except Refused as refused:
            self._metrics.refused(refused.reason)
            log.warning("refused to sign for %s: %s", context.remote, refused)
            raise _answer(refused) from None
        except StateError as error:
            log.error("can not sign: %s", error)
            raise Unavailable("the certificate authority can not sign now") from error

    async def _sign(self, request: SignRequest, context: Context) -> SignResponse:
        if not self._rate.allow(asyncio.get_running_loop().time()):
            raise Refused(Refusal.RATE, "too many signing requests; try again later")
        grant = await self._admission.admit(request, context, self._world)
        now = int(time.time())
        ttl = self._world().mesh.svid_ttl_seconds
        since = self._admission.revoked(self._world().revocations, now).since(grant.spiffe_id)
        try:
            svid = self._ca.sign(request.csr, grant.spiffe_id, ttl, now, since=since)
        except ValueError as error:
            raise Refused(Refusal.REQUEST, f"the CSR is refused: {error}") from None
        self._admission.signed(grant, svid.serial, now, svid.expires)
        self._metrics.issued()
        log.info(
            "%s %s for workload %s at %s, serial %s, for %d s",
            "signed" if context.peer is None else "renewed", grant.spiffe_id, grant.uid,
            context.remote, svid.serial, svid.expires - now,
        )  # fmt: skip
        return SignResponse(
            certificate=svid.certificate,
            roots=self._issued().roots,
            spiffe_id=grant.spiffe_id,
            expires=svid.expires,
        )


def _answer(refused: Refused) -> ApiError:
    match refused.reason:
        case Refusal.REQUEST:
            return BadRequest(str(refused))
        case Refusal.RATE | Refusal.UNKNOWN:
            return Unavailable(str(refused))
        case _:
            return Unauthorised(str(refused))
