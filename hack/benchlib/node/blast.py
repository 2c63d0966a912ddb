"""The generator: spoofed datagrams at one port, a bounded number for a bounded time."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Literal

from benchlib.tools import Tools

STOQ_PORT: Final = 14008

DROP: Final = "counter name dropped drop"

# The agent's defaults, docs/operations.md: Initials a second and at once, of a source and of all.
SOURCE: Final = (2_000, 20_000)
CEILING: Final = (10_000, 40_000)

# Where dropping is what is measured: next to nothing passes.
NEXT_TO_NOTHING: Final = (100, 100)

Kind = Literal["initial", "junk", "mixed"]


@dataclass(frozen=True, slots=True)
class Card:
    """A veth that plays a network card: the end that sends, and the other one's address."""

    device: str
    to: str


@dataclass(frozen=True, slots=True)
class Blast:
    """What is sent."""

    target: IPv6Address
    kind: Kind
    seconds: float
    rate: int = 0  # packets a second; 0: as fast as it goes
    card: Card | None = None  # by it, from within the kernel and without `rate`; None: by a socket

    def command(self, tools: Tools) -> list[str]:
        """The program of hack/peers."""
        if self.card is None:
            how = ["--rate", str(self.rate)]
        else:
            how = ["--device", self.card.device, "--to", self.card.to]
        return [
            *(tools.peer("blast"), f"[{self.target}]:{STOQ_PORT}"),
            *("--kind", self.kind, *how, "--seconds", f"{self.seconds:g}"),
        ]


def sent(said: str) -> float:
    """Packets that left, of what it printed."""
    return float(json.loads(said)["sent"])


def nft_rules(family: str, hook: str) -> str:
    """What nftables has for what the guard does, as near as it comes: versions that STOQ does not
    speak are dropped, Initials are limited by source (/64) and in all, at the guard's own rates.
    """
    (source, source_burst), (ceiling, ceiling_burst) = SOURCE, NEXT_TO_NOTHING
    initial = f"udp dport {STOQ_PORT} @th,64,4 0xc"
    by_source = f"limit rate over {source}/second burst {source_burst} packets"
    in_all = f"limit rate over {ceiling}/second burst {ceiling_burst} packets"
    meter = f"update @sources {{ ip6 saddr & ffff:ffff:ffff:ffff:: {by_source} }}"
    return table(
        family,
        hook,
        [
            f"udp dport {STOQ_PORT} @th,64,1 1 @th,72,32 != 1 {DROP}",
            f"{initial} {meter} {DROP}",
            f"{initial} {in_all} {DROP}",
        ],
    )


def nft_port(family: str, hook: str) -> str:
    """The cheapest that nftables can do: everything for the port is dropped, good or bad."""
    return table(family, hook, [f"udp dport {STOQ_PORT} {DROP}"])


def table(family: str, hook: str, rules: Sequence[str]) -> str:
    """A table of one chain."""
    return "\n".join(
        [
            f"table {family} bench {{",
            "  counter dropped { }",
            "  set sources { type ipv6_addr; size 65536; flags dynamic; timeout 10s; }",
            f"  chain in {{ type filter hook {hook}; policy accept;",
            *(f"    {rule}" for rule in rules),
            "  }",
            "}",
            "",
        ]
    )
