"""Mirrors: copies of what clients say to a service, for a shadow of it.

A mirror is a second reader of plaintext, so both ends of it are in one hand: the shadow is a
service record of the namespace of whoever asks for the copies, and so are its pods.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from stoq.records import checks
from stoq.records.errors import RecordError

MAX_MIRRORS: Final = 4
"""Each costs what the original costs; a client's pod sends them all."""

WHOLE: Final = 10_000
"""The share that is everything (`docs/wire-format.md`, section 15)."""

Share = Annotated[int, msgspec.Meta(ge=1, le=WHOLE)]


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of connections to the service record that has it."""

    to: str
    """The service record that gets the copies, of the same namespace."""
    share: Share
    """Of ten thousand connections; which ones follows from their flow ids."""


class PolicyMirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of connections that the policy's workloads open to a service record."""

    of: str
    """The service record that they dial, `<name>` of the same namespace or `<namespace>/<name>`."""
    to: str
    share: Share

    def dialled(self, namespace: str) -> tuple[str, str]:
        """Namespace and name of `of`, for a policy of `namespace`."""
        place, slash, name = self.of.rpartition("/")
        return (place if slash else namespace), name


def check(field: str, mirrors: tuple[Mirror, ...]) -> None:
    """Raises `RecordError` for mirrors that cannot be meant."""
    checks.at_most(field, mirrors, MAX_MIRRORS)
    _check_targets(field, mirrors)
    _check_once(f"{field}[{{}}].to", [mirror.to for mirror in mirrors])


def check_policy(field: str, mirrors: tuple[PolicyMirror, ...]) -> None:
    """The same for those of a policy."""
    checks.at_most(field, mirrors, MAX_MIRRORS)
    for index, mirror in enumerate(mirrors):
        place, slash, name = mirror.of.rpartition("/")
        if slash:
            checks.dns_label(f"{field}[{index}].of", place)
        checks.dns_label(f"{field}[{index}].of", name)
    _check_targets(field, mirrors)
    _check_once(f"{field}[{{}}]", [f"{mirror.of} to {mirror.to}" for mirror in mirrors])


def _check_targets(field: str, mirrors: Iterable[Mirror | PolicyMirror]) -> None:
    for index, mirror in enumerate(mirrors):
        checks.dns_label(f"{field}[{index}].to", mirror.to)


def _check_once(field: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise RecordError(field.format(index), name, "it is listed twice; remove one")
