"""The kernel programs, each loaded once: what the verifier takes tells what the node can do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from stoq_node._kernel import Account, Guard, KernelError, Pins, Strict
from stoq_node.capabilities import ACCOUNT, GUARD, STRICT

P = TypeVar("P", Strict, Account, Guard)


@dataclass(frozen=True, slots=True)
class Programs:
    """Those that this kernel takes."""

    strict: Strict | None
    account: Account | None
    guard: Guard | None
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

    return Programs(tried(STRICT, Strict), tried(ACCOUNT, Account), tried(GUARD, Guard), refused)
