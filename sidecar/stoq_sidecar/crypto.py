"""The crypto profile: the mesh's policy, kept in force in the TLS context.

The policy wins over the setting, which holds until the registry has spoken: the first certificate
may be of another profile than the mesh wants, and the next is asked for at once.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec

from stoq.registry import WorkloadEntry
from stoq.rules import CryptoRule

log = logging.getLogger("stoq.crypto")

LATCH: Final = "crypto"


class Context(Protocol):
    """What a TLS context does here."""

    def profiles(self) -> tuple[str, str | None]:
        """That of later identities, and that of the one in force; None without one."""

    def set_profile(self, profile: str) -> None:
        """Has later identities be of this profile. Raises ValueError where that cannot be."""

    def set_required(
        self, everyone: str = "", dialled: dict[str, str] = ..., except_for: str = ""
    ) -> None:
        """Replaces the profiles that policies require."""


class Crypto:
    """Keeps a context at what the mesh says."""

    def __init__(self, tls: Context, control: str) -> None:
        """`control` is the SPIFFE id of the control plane, with which no policy interferes: from
        there comes the next one.
        """
        self._tls = tls
        self._control = control
        self._given, _ = tls.profiles()
        self._rule: CryptoRule | None = None
        self._required: tuple[str, dict[str, str]] = ("", {})

    @property
    def due(self) -> bool:
        """Whether the identity in force is of another profile than the mesh wants."""
        wanted, shown = self._tls.profiles()
        return shown not in (None, wanted)

    @property
    def refused(self) -> bool:
        """Whether peers with the same policy refuse us for that."""
        return self.due and self._rule is not None and self._rule.mode == "require"

    def follow(self, rule: CryptoRule | None, workloads: Iterable[WorkloadEntry]) -> bool:
        """Puts the mesh's policy in force, and what peers require; None: there is no policy.
        Returns whether live connections have to be looked at.

        A profile that cannot be ours (a later release may know other names) is logged, and ours
        stays. Where it is required, everybody is refused: nobody proves it.
        """
        if rule != self._rule:
            self._rule = rule
            self._ask_for(rule)
        everyone = rule.profile if rule is not None and rule.mode == "require" else ""
        required = (everyone, dialled(workloads))
        if required == self._required:
            return False
        self._tls.set_required(*required, except_for=self._control)
        self._required = required
        return True

    def describe(self) -> dict[str, Any]:
        """The policy, and the profile of the identity in force, as plain data."""
        return {
            "policy": None if self._rule is None else msgspec.structs.asdict(self._rule),
            "profile": self._tls.profiles()[1],
        }

    def _ask_for(self, rule: CryptoRule | None) -> None:
        wanted = rule.profile if rule is not None else self._given
        name = (rule and rule.policy) or "the MeshConfig"
        held, _ = self._tls.profiles()
        if wanted != held:
            try:
                self._tls.set_profile(wanted)
            except ValueError as error:
                log.warning("%s: the crypto profile stays %s: %s", name, held, error)
                return
        mode = rule.mode if rule is not None else "prefer"
        log.info("%s: the crypto profile is %s, %s", name, wanted, mode)


def dialled(workloads: Iterable[WorkloadEntry]) -> dict[str, str]:
    """The profiles that workloads require, by SPIFFE id. One of which not all pods require the same
    has none here: its pods refuse by themselves.
    """
    found: dict[str, str] = {}
    for entry in workloads:
        if found.setdefault(entry.spiffe_id, entry.crypto) != entry.crypto:
            found[entry.spiffe_id] = ""
    return {spiffe_id: profile for spiffe_id, profile in found.items() if profile}
