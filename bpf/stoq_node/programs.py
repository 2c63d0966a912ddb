"""The kernel programs, each loaded once: what the verifier takes tells what the node can do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from stoq_node._kernel import Account, Guard, KernelError, Pins, Splice, Strict
from stoq_node.capabilities import ACCOUNT, GUARD, GUARD_TC, SPLICE, STRICT

P = TypeVar("P", Strict, Account, Splice, Guard)

STAGES: Final = {GUARD: "xdp", GUARD_TC: "tc"}
"""Where each guard looks."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Those that this kernel takes. Of guards, which remember 65,536 sources each (6 MiB of the
    kernel's memory), none is kept: `guard` loads the one that is wanted.
    """

    strict: Strict | None
    account: Account | None
    splice: Splice | None = None
    refused: dict[str, str] = field(default_factory=dict)
    """Why not the others, guards among them, by their names in `capabilities`."""


def load(pins: Pins | None) -> Programs:
    """Loads all of them: over what is pinned, or with None to be tried and let go.

    No list of features knows a kernel as well as its verifier does, and that takes its time.
    """
    refused: dict[str, str] = {}

    def tried(name: str, kind: Callable[[], P]) -> P | None:
        try:
            return kind()
        except KernelError as error:
            refused[name] = str(error)
            return None

    for name, stage in STAGES.items():
        tried(name, partial(Guard, stage))
    return Programs(
        tried(STRICT, partial(Strict, pins)),
        tried(ACCOUNT, partial(Account, pins)),
        tried(SPLICE, partial(Splice, pins)),
        refused,
    )


def guard(name: str, pins: Pins) -> Guard:
    """Loads a guard over what is pinned. Raises `KernelError`."""
    return Guard(STAGES[name], pins)
