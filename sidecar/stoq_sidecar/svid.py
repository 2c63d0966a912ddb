"""Keeps the sidecar's SVID fresh: asks for one, installs it, sleeps until it is due.

A renewal replaces key and certificate for handshakes to come; connections that exist go on.
"""

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import Protocol

from stoq.signing import SignResponse
from stoq_sidecar.backoff import Backoff
from stoq_sidecar.ca_client import SigningError
from stoq_sidecar.identity import Renewal, Standing, refused_by_peer
from stoq_sidecar.readiness import Readiness

log = logging.getLogger("stoq.identity")

LATCH = "identity"


class Authority(Protocol):
    """Signs; `ca_client.CertificateAuthority` is one."""

    async def sign(self, csr: bytes) -> SignResponse:
        """An SVID for the keys in `csr`. Raises SigningError."""


class Holder(Protocol):
    """Where the key pair lives: made, kept and used inside the engine, never seen by Python."""

    def new_key(self) -> bytes:
        """Makes the next key pair and returns a CSR for it, DER."""

    def install(self, certificate: bytes, roots: tuple[bytes, ...]) -> None:
        """Uses the last made key pair with `certificate` from now on. Raises ValueError when
        they do not belong together.
        """

    def drop(self) -> None:
        """Forgets key pair and certificate: the next signing is that of a newcomer."""


@dataclass(slots=True)
class SvidStatus:
    """What is known about the SVID; times in Unix seconds, 0 for never."""

    spiffe_id: str = ""
    obtained: float = 0.0
    expires: float = 0.0
    renewals: int = 0
    failures: int = 0
    last_error: str = ""


class SvidKeeper:
    """Runs for as long as the sidecar does."""

    def __init__(
        self,
        authority: Authority,
        holder: Holder,
        renewal: Renewal,
        backoff: Backoff,
        readiness: Readiness,
    ) -> None:
        self._authority = authority
        self._holder = holder
        self._renewal = renewal
        self._backoff = backoff
        self._readiness = readiness
        self._soon = asyncio.Event()
        self.first = asyncio.Event()
        """Set once there is an SVID, for those who need one."""
        self.status = SvidStatus()

    def renew_now(self) -> None:
        """Renews without waiting for the due time (SIGHUP, or a peer says it is revoked)."""
        self._soon.set()

    async def run(self) -> None:
        """Keeps the SVID fresh until cancelled."""
        while True:
            await self._obtain()
            due = self._renewal.moment(self.status.obtained, self.status.expires, random.random())  # noqa: S311
            # An authority that hands out expired certificates must not keep both of us busy.
            await self._sleep(max(due - time.time(), self._backoff.shortest))

    async def _obtain(self) -> None:
        failures = 0
        while True:
            self._drop_if_expired()
            try:
                # A fresh key each time: one that leaked is worth no more than one life.
                answer = await self._authority.sign(self._holder.new_key())
                self._holder.install(answer.certificate, answer.roots)
            except (SigningError, ValueError) as error:
                failures += 1
                self._failed(error, failures)
                if refused_by_peer(str(error)):
                    self._holder.drop()
                await self._sleep(self._backoff.delay(failures, random.random()))  # noqa: S311
            else:
                self._succeeded(answer)
                return

    def _drop_if_expired(self) -> None:
        """A connection that presents an expired certificate is refused, also to sign a new one."""
        if self.status.obtained and time.time() >= self.status.expires:
            self._holder.drop()

    def _succeeded(self, answer: SignResponse) -> None:
        first = self.status.obtained == 0.0
        self.status.spiffe_id = answer.spiffe_id
        self.status.obtained = time.time()
        self.status.expires = float(answer.expires)
        self.status.renewals += 1
        self.status.last_error = ""
        life = self.status.expires - self.status.obtained
        log.info("%s as %s for %.0f s", "attested" if first else "renewed", answer.spiffe_id, life)
        if first:
            self._readiness.drop(LATCH)
            self.first.set()

    def _failed(self, error: Exception, failures: int) -> None:
        self.status.failures += 1
        self.status.last_error = str(error)
        self._readiness.note(LATCH, str(error))
        standing = self._renewal.standing(self.status.obtained, self.status.expires, time.time())
        urgent = self.status.obtained > 0 and standing is Standing.EXPIRED
        log.log(
            logging.ERROR if urgent else logging.WARNING,
            "no SVID (attempt %d%s): %s",
            failures, ", the old one has expired" if urgent else "", error,
        )  # fmt: skip

    async def _sleep(self, seconds: float) -> None:
        self._soon.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._soon.wait()
        except TimeoutError:
            return
