"""What outlives one control process, and who keeps it.

Two ways to run a mesh differ in nothing else below the records: a directory on one machine, and a
cluster, where replicas share and one of them writes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from stoq.api.call import Context
from stoq.records.revocation import Revocation
from stoq.registry import RevokedIdentity
from stoq.signing import SignRequest
from stoq_operator.problem import Problem
from stoq_operator.rotation import Root
from stoq_operator.world import World


class StateError(Exception):
    """What is kept can not be used or written; the text names it and the way out."""


class RootsRefused(StateError):
    """Roots that can not be put in force; those before stay so."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class KeptRoot(msgspec.Struct, frozen=True, kw_only=True):
    """A root with its secrets. Its representation shows none."""

    root: Root
    key: bytes
    """Both private keys, as `HybridKey.to_bytes` has them."""
    certificate: bytes
    """DER."""

    def __repr__(self) -> str:
        return f"KeptRoot({self.root!r})"


class RootStore(Protocol):
    """Where the roots are."""

    @property
    def roots(self) -> tuple[KeptRoot, ...]:
        """As they are now; another replica may have changed them. Empty before there are any."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that changes them."""

    @property
    def problem(self) -> Problem | None:
        """Why they are not in force; None: they are, or there are none yet."""

    @property
    def rotation_wanted(self) -> bool:
        """Whether somebody asked for a new root."""

    async def keep(self, roots: tuple[KeptRoot, ...]) -> None:
        """Replaces them; what asked for a rotation is answered by it. Raises `StateError`."""

    def judged(self, refused: Problem | None, notices: Sequence[Problem] = ()) -> None:
        """Told, again and again, whether `roots` are in force: `refused` is why they can not be,
        `notices` are what there is to say of those that are. Raises `StateError` where nobody can
        mend them while this process runs.
        """


class Vips(Protocol):
    """Who gives service records their addresses."""

    def of(self, world: World) -> Mapping[str, str]:
        """The addresses in force, by `<namespace>/<name>`. Raises `RangeFull`."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller has proved to be, and may be certified as."""

    uid: str
    """The workload."""
    spiffe_id: str
    chain: str = ""
    """Serial number of the certificate that began its chain; empty for a newcomer."""


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates that no one may trust any more."""

    serials: tuple[str, ...] = ()
    identities: tuple[RevokedIdentity, ...] = ()

    def since(self, spiffe_id: str) -> int:
        """Certificates of the identity that begin before this (Unix seconds) are revoked; 0: none
        is.
        """
        return max(
            (item.before for item in self.identities if item.spiffe_id == spiffe_id), default=0
        )


class Admission(Protocol):
    """Who may have which certificate, and which of them are revoked."""

    async def admit(
        self, request: SignRequest, context: Context, world: Callable[[], World]
    ) -> Grant:
        """What the caller may be certified as, by the records in force. Raises `Refused`, and
        `StateError` when that can not be found out now.
        """

    def signed(self, grant: Grant, serial: str, issued: int, expires: int) -> None:
        """Told of each certificate (Unix seconds) before it is handed out. Raises `StateError`."""

    def revoked(self, revocations: Iterable[Revocation], now: float) -> Revoked:
        """What these records, and the admission's own knowledge, revoke."""

    def tidy(self, now: float) -> None:
        """Forgets what has run out."""
