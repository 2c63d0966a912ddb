"""The kernel programs, each loaded once: what the verifier takes tells what the node can do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from stoq_node._kernel import Account, Guard, KernelError, Pins, Strict
from stoq_node.capabilities import ACCOUNT, GUARD, GUARD_TC, STRICT

P = TypeVar("P", Strict, Account, Guard)


@dataclass(frozen=True, slots=True)
class Programs:
    """Those that this kernel takes."""

    strict: Strict | None
    account: Account | None
    guards: Mapping[str, Guard]
    """By the names of their programs."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why not the others, by their names in `capabilities`."""


def load(pins: Pins | None) -> Programs:
    """Loads all of them: over what is pinned, or with None to be tried and let go.

    No list of features knows a kernel as well as its verifier does, and that takes its time.
    """
    refused: dict[str, str] = {}

    def tried(name: str, kind: Callable[[Pins | None], P]) -> P | None:
        try:
            return kind(pins)
        except KernelError as error:
            refused[name] = str(error)
            return None

    stages = {GUARD: partial(Guard, "xdp"), GUARD_TC: partial(Guard, "tc")}
    guards = {name: tried(name, stage) for name, stage in stages.items()}
    return Programs(
        tried(STRICT, Strict),
        tried(ACCOUNT, Account),
        {name: guard for name, guard in guards.items() if guard is not None},
        refused,
    )
