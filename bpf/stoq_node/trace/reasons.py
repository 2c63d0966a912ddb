"""Names of drop reasons, which differ from kernel to kernel. Pure."""

import re
from collections.abc import Mapping
from typing import Final

_ENTRY: Final = re.compile(r"\{ (\d+), \"(\w+)\" \}")

ETHERTYPES: Final = {0x0800: "ipv4", 0x86DD: "ipv6", 0x0806: "arp"}


def names(format_text: str) -> dict[int, str]:
    """Names by number, from the text of the format file of skb:kfree_skb."""
    _, _, table = format_text.partition("__print_symbolic(REC->reason")
    return {int(number): name for number, name in _ENTRY.findall(table)}


def name(number: int, known: Mapping[int, str]) -> str:
    """The name, or the number where the format file has none: subsystems count from 65536 on."""
    return known.get(number, f"reason {number:#x}")


def ethertype(number: int) -> str:
    """What the packet was."""
    return ETHERTYPES.get(number, f"{number:#06x}")
