"""Serves the certificate authority's one call."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from stoq.api.call import Context
from stoq.api.errors import ApiError, BadRequest, Unauthorised, Unavailable
from stoq.api.server import ApiServer
from stoq.api.stream import Peer
from stoq.records.workload import Workload
from stoq.signing import BINDING_LABEL, SIGN, SignRequest, SignResponse
from stoq_operator.attest import Refusal, Refused, attest
from stoq_operator.ca import Ca
from stoq_operator.ledger import barred
from stoq_operator.metrics import Metrics
from stoq_operator.rate import Rate
from stoq_operator.state import StateError
from stoq_operator.world import World

log: Final = logging.getLogger(__name__)


class Signing:
    """Attests the caller, signs, and has the revocation list renewed where it changed."""

    def __init__(
        self,
        ca: Ca,
        world: Callable[[], World],
        rate: Rate,
        metrics: Metrics,
        issued: Callable[[], None],
    ) -> None:
        """`world` gives the records in force, `issued` is called after each signing."""
        self._ca = ca
        self._world = world
        self._rate = rate
        self._metrics = metrics
        self._issued = issued

    def register(self, server: ApiServer) -> None:
        """Adds `Sign`, the only method open to callers without a certificate."""
        server.unary(SIGN, self.sign, anonymous=True)

    async def sign(self, request: SignRequest, context: Context) -> SignResponse:
        """Handler of `SIGN`."""
        try:
            return self._sign(request, context)
        except Refused as refused:
            self._metrics.refused(refused.reason)
            log.warning("refused to sign for %s: %s", context.remote, refused)
            raise _answer(refused) from None
        except StateError as error:
            log.error("can not sign: %s", error)
            raise Unavailable("the certificate authority can not write its state") from error

    def _sign(self, request: SignRequest, context: Context) -> SignResponse:
        if not self._rate.allow(asyncio.get_running_loop().time()):
            raise Refused(Refusal.RATE, "too many signing requests; try again later")
        world = self._world()
        workload = attest(
            request,
            context.exporter(BINDING_LABEL),
            context.peer,
            world.tokens,
            world.mesh.trust_domain,
            barred(world.revocations),
        )
        spiffe_id = workload.spiffe_id(world.mesh.trust_domain)
        chain = self._chain(context.peer, workload)
        now = int(time.time())
        try:
            svid = self._ca.sign(
                request.csr, workload.uid, spiffe_id, world.mesh.svid_ttl_seconds, now, chain=chain
            )
        except ValueError as error:
            raise Refused(Refusal.REQUEST, f"the CSR is refused: {error}") from None
        self._metrics.issued()
        log.info(
            "%s %s for workload %s at %s, serial %s, for %d s",
            "renewed" if chain else "signed", spiffe_id, workload.uid, context.remote,
            svid.serial, svid.expires - now,
        )  # fmt: skip
        self._issued()
        trust = self._ca.trust(world.revocations, now)
        return SignResponse(
            certificate=svid.certificate,
            roots=trust.roots,
            spiffe_id=spiffe_id,
            expires=svid.expires,
        )

    def _chain(self, peer: Peer | None, workload: Workload) -> str:
        """The chain that a certified caller continues; empty for a newcomer.

        Two pods of one service account have the same SPIFFE id: only the serial number tells that
        one of them has the other's token.
        """
        if peer is None:
            return ""
        held = self._ca.find(peer.serial)
        if held is None:
            return peer.serial
        if held.uid != workload.uid:
            raise Refused(
                Refusal.IDENTITY,
                f"workload {held.uid} sent the token of workload {workload.uid}",
            )
        return held.of_chain


def _answer(refused: Refused) -> ApiError:
    match refused.reason:
        case Refusal.REQUEST:
            return BadRequest(str(refused))
        case Refusal.RATE:
            return Unavailable(str(refused))
        case _:
            return Unauthorised(str(refused))
