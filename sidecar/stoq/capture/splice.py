"""Rules by which TCP of two pods that are joined goes past both sidecars. Pure.

Sets name who is joined with the pod: where it may dial (`spliced_out`), and who may dial which of
its ports (`spliced_in`). What the sets have is let out and in as it is; the connection gets a mark,
and a marked packet whose pair is in no set any more is answered with a reset. Members leave by
themselves after some seconds: who filled the sets and has ended can not take them out
(docs/decisions/0045).
"""

from collections.abc import Iterable
from typing import Final

from stoq.capture.chains import Rule
from stoq.capture.plan import Address

SPLICE_MARK: Final = 0x36BD
"""Connection mark (14013) of connections that go past the sidecars of both ends."""

Member = tuple[Address, int]
"""The other pod, and the port of the one that is the server."""

_FAMILIES: Final = ((6, "ip6", "ipv6_addr"), (4, "ip", "ipv4_addr"))
_OUT: Final = "spliced_out"
_IN: Final = "spliced_in"


def sets() -> str:
    """The sets, empty, as a part of the table."""
    return "".join(
        f"  set {name}_ipv{version} {{\n    type {kind} . inet_service; flags timeout;\n  }}\n"
        for version, _, kind in _FAMILIES
        for name in (_OUT, _IN)
    )


def let_out() -> list[Rule]:
    """Of what the applications dial."""
    return [_rule(version, f"{ip} daddr . tcp dport", _OUT) for version, ip, _ in _FAMILIES]


def let_in() -> list[Rule]:
    """Of who dials them."""
    return [_rule(version, f"{ip} saddr . tcp dport", _IN) for version, ip, _ in _FAMILIES]


def guarded() -> list[Rule]:
    """Of all packets that leave: marked ones go on while their pair is in a set."""
    marked = f"ct mark {SPLICE_MARK:#x}"
    rules = []
    for version, ip, _ in _FAMILIES:
        asks = f"ct direction original {ip} daddr . tcp dport @{_OUT}_ipv{version}"
        answers = f"ct direction reply {ip} daddr . tcp sport @{_IN}_ipv{version}"
        rules.append(Rule(f"joined-ipv{version}", f"{marked} {asks} accept"))
        rules.append(Rule(f"joined-answer-ipv{version}", f"{marked} {answers} accept"))
    return [*rules, Rule("parted", f"{marked} counter reject with tcp reset")]


def render(out: Iterable[Member], into: Iterable[Member], seconds: int) -> str:
    """The script for `nft -f -` that makes the sets hold these members, and no other, for so many
    seconds. All of it at once: a member that stays is never missed.
    """
    lines = []
    for name, members in ((_OUT, sorted(out, key=str)), (_IN, sorted(into, key=str))):
        for version, _, _ in _FAMILIES:
            held = f"inet stoq {name}_ipv{version}"
            lines.append(f"flush set {held}")
            listed = ", ".join(
                f"{address} . {port} timeout {seconds}s"
                for address, port in members
                if address.version == version
            )
            if listed:
                lines.append(f"add element {held} {{ {listed} }}")
    return "\n".join(lines) + "\n"


def _rule(version: int, what: str, name: str) -> Rule:
    mark = f"counter ct mark set {SPLICE_MARK:#x} return"
    return Rule(f"spliced-ipv{version}", f"{what} @{name}_ipv{version} {mark}")
