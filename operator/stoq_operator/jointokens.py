"""Admission by join token, with a ledger of every certificate in the state directory."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from stoq.api.call import Context
from stoq.api.stream import Peer
from stoq.records.revocation import Revocation
from stoq.records.workload import Workload
from stoq.signing import BINDING_LABEL, SignRequest
from stoq_operator.attest import Refusal, Refused, attest
from stoq_operator.kept import Grant, Revoked
from stoq_operator.ledger import Issued, Ledger, barred
from stoq_operator.state import StateDirectory
from stoq_operator.world import World

log: Final = logging.getLogger(__name__)

FILE: Final = "issued.jsonl"

COMPACT_FACTOR: Final = 4
"""The ledger's file is rewritten when it has this many lines per living certificate."""


class JoinTokens:
    """See `Admission`."""

    def __init__(self, state: StateDirectory) -> None:
        """Loads the ledger. Raises `StateError`."""
        self._state = state
        self._lines = 0
        self._ledger = Ledger(self._load())

    async def admit(
        self, request: SignRequest, context: Context, world: Callable[[], World]
    ) -> Grant:
        """See `Admission`."""
        now = world()
        workload = attest(
            request,
            context.exporter(BINDING_LABEL),
            context.peer,
            now.tokens,
            now.mesh.trust_domain,
            barred(now.revocations),
        )
        return Grant(
            uid=workload.uid,
            spiffe_id=workload.spiffe_id(now.mesh.trust_domain),
            chain=self._chain(context.peer, workload),
        )

    def signed(self, grant: Grant, serial: str, issued: int, expires: int) -> None:
        """See `Admission`."""
        entry = Issued(
            serial=serial,
            uid=grant.uid,
            spiffe_id=grant.spiffe_id,
            issued=issued,
            expires=expires,
            chain=grant.chain,
        )
        self._state.append(FILE, _line(entry))
        self._lines += 1
        self._ledger.add(entry)

    def revoked(self, revocations: Iterable[Revocation], now: float) -> Revoked:
        """See `Admission`. The ledger knows every serial number that an identity has."""
        return Revoked(serials=self._ledger.revoked(revocations, now))

    def tidy(self, now: float) -> None:
        """Forgets expired certificates, and shortens the ledger's file where that pays.

        Raises `StateError`.
        """
        self._ledger.prune(now)
        entries = self._ledger.entries
        if self._lines > COMPACT_FACTOR * max(len(entries), 16):
            self._state.write(FILE, b"".join(map(_line, entries)))
            self._lines = len(entries)

    @property
    def issued(self) -> tuple[Issued, ...]:
        """Certificates that have not expired, oldest first."""
        return self._ledger.entries

    def _chain(self, peer: Peer | None, workload: Workload) -> str:
        """The chain that a certified caller continues; empty for a newcomer.

        Two pods of one service account have the same SPIFFE id: only the serial number tells that
        one of them has the other's token.
        """
        if peer is None:
            return ""
        held = self._ledger.find(peer.serial)
        if held is None:
            return peer.serial
        if held.uid != workload.uid:
            raise Refused(
                Refusal.IDENTITY,
                f"workload {held.uid} sent the token of workload {workload.uid}",
            )
        return held.of_chain

    def _load(self) -> list[Issued]:
        lines = (self._state.read(FILE) or b"").splitlines()
        self._lines = len(lines)
        entries: list[Issued] = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(msgspec.json.decode(line, type=Issued))
            except msgspec.DecodeError as error:
                # Only a crash in the middle of an append leaves such a line.
                log.warning("%s line %d is unreadable and skipped: %s", FILE, number, error)
        return entries


def _line(entry: Issued) -> bytes:
    return msgspec.json.encode(entry) + b"\n"
