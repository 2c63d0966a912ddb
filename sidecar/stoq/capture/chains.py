"""What rules of capture are made of. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stoq.capture.plan import Address

BYPASS_MARK: Final = 0x36B8
"""Connection mark (14008) of flows that were let out on purpose. Needed because packets that the
kernel sends for a closed or TIME_WAIT socket have no owner whose uid could be matched."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `name` becomes its comment and is unique within its chain."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Chain:
    """One base chain with the hook and priority it is registered at."""

    name: str
    type: str
    hook: str
    priority: int
    rules: tuple[Rule, ...]


RAW: Final = -300  # before connection tracking
BEFORE_NAT: Final = -150
NAT: Final = -100
AFTER_NAT: Final = 0
LAST: Final = 300


def family_of(address: Address) -> str:
    """nft's word for the family of `address`."""
    return "ip6" if address.version == 6 else "ip"


def listed(items: Sequence[object]) -> str:
    """An anonymous set of nft."""
    return "{ " + ", ".join(str(item) for item in items) + " }"
