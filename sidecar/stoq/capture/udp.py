"""Rules by which the applications' UDP reaches the sidecar, both ways. Pure.

UDP has no redirect from which a program could learn the original destination, so datagrams are not
translated but led to a transparent socket (docs/decisions/0029-captured-udp.md):

- `udp_out` marks what the applications send. The mark leads to a routing table in which every
  address is local, so that it comes back in over `lo`. It also tells the socket, which gets no
  header, what has IPv4's Don't Fragment.
- `udp_in` hands it to the socket there, and what arrives from outside as well. With nobody to take
  it, it is dropped.
- What the sidecar puts into the pod (`UDP_INJECT_MARK`) is not tracked: the application's answers
  would be taken for answers, and not be captured.
- What it sends out in the application's name (`UDP_EMIT_MARK`) is UDP from an address of the pod,
  or it is dropped.
- `udp_errors` drops what the kernel says about a closed port: it quotes a datagram that came
  encrypted.
- `udp_stay` drops what is marked should the routing table be missing.
"""

from typing import Final

from stoq import constants
from stoq.capture.chains import BEFORE_NAT, BYPASS_MARK, LAST, RAW, Chain, Rule, family_of, listed
from stoq.capture.plan import DNS_PORT, Plan, PortRange, merged_networks, merged_ports

UDP_MARK: Final = 0x36BA
"""Packet mark (14010) of what an application sends."""

UDP_WHOLE_MARK: Final = 0x36BE
"""The same (14014) for what has Don't Fragment. The engine knows it by this number."""

CAPTURED_MARKS: Final = (UDP_MARK, UDP_WHOLE_MARK)
"""Packet marks of what applications send."""

UDP_INJECT_MARK: Final = 0x36BB
"""Packet mark (14011) of what the sidecar puts into the pod."""

UDP_EMIT_MARK: Final = 0x36BC
"""Packet mark (14012) of what the sidecar lets out, and connection mark of its flow."""

_TO_SOCKET: Final = f"meta l4proto udp counter tproxy to :{constants.OUTBOUND_PORT} accept"
_BYPASS: Final = f"ct mark set {BYPASS_MARK:#x} return"
_CLOSED_PORT: Final = ("icmpv6 type destination-unreachable icmpv6 code port-unreachable",
                       "icmp type destination-unreachable icmp code port-unreachable")  # fmt: skip


def udp_chains(plan: Plan) -> tuple[Chain, ...]:
    """The chains of captured UDP."""
    injected = Rule("injected", f"meta mark {UDP_INJECT_MARK:#x} notrack")
    back = Rule("injected", f'iif "lo" meta mark {UDP_INJECT_MARK:#x} notrack')
    return (
        Chain("udp_untracked", "filter", "output", RAW, (injected,)),
        Chain("udp_untracked_back", "filter", "prerouting", RAW, (back,)),
        Chain("udp_out", "route", "output", BEFORE_NAT, tuple(_out(plan))),
        Chain("udp_in", "filter", "prerouting", BEFORE_NAT, tuple(_in(plan))),
        _errors(),
        _stay(),
    )


def _out(plan: Plan) -> list[Rule]:
    emitted = f"meta mark {UDP_EMIT_MARK:#x}"
    own = f"fib saddr type local udp sport != {constants.STOQ_PORT}"
    rules = [
        Rule("only-udp", "meta l4proto != udp return"),
        Rule("injected", f"meta mark {UDP_INJECT_MARK:#x} return"),
        Rule("emitted", f"{emitted} {own} ct mark set {UDP_EMIT_MARK:#x} counter return"),
        Rule("emitted-other", f"{emitted} counter drop"),
        Rule("sidecar", f"meta skuid {listed(plan.sidecar_uids)} {_BYPASS}"),
        # The broker has made this socket, so it is not the sidecar's user who owns it.
        Rule("stoq", f"udp sport {constants.STOQ_PORT} return"),
        Rule("loopback", 'oif "lo" return'),
        Rule("answers", f"ct direction reply ct mark {BYPASS_MARK:#x} return"),
        Rule("groups", "fib daddr type { broadcast, multicast } return"),
        Rule("link-ipv6", f"ip6 daddr fe80::/10 {_BYPASS}"),
        Rule("link-ipv4", f"ip daddr 169.254.0.0/16 {_BYPASS}"),
    ]
    for version in (6, 4):
        servers = [one for one in plan.captured_nameservers if one.version == version]
        if servers:
            towards = f"{family_of(servers[0])} daddr {listed(servers)} udp dport {DNS_PORT}"
            rules.append(Rule(f"dns-ipv{version}", f"{towards} return"))
    rules += _excluded(plan.exclude_outbound_ports + plan.exclude_outbound_udp_ports)
    excluded = merged_networks(plan.exclude_outbound_networks)
    for version in (6, 4):
        networks = [n for n in excluded if n.version == version]
        if networks:
            towards = f"{family_of(networks[0].network_address)} daddr {listed(networks)}"
            rules.append(Rule(f"excluded-ipv{version}", f"{towards} counter {_BYPASS}"))
    whole = f"ip frag-off & 0x4000 != 0 counter meta mark set {UDP_WHOLE_MARK:#x} return"
    return [
        *rules,
        Rule("capture-whole", whole),
        Rule("capture", f"counter meta mark set {UDP_MARK:#x}"),
    ]


def _in(plan: Plan) -> list[Rule]:
    captured = f'iif "lo" meta mark {_marks(*CAPTURED_MARKS)}'
    rules = [
        Rule("only-udp", "meta l4proto != udp return"),
        Rule("injected", f'iif "lo" meta mark {UDP_INJECT_MARK:#x} return'),
        Rule("captured", f"{captured} {_TO_SOCKET}"),
        Rule("nobody", f"{captured} counter drop"),
        Rule("loopback", 'iif "lo" return'),
        Rule("stoq", f"udp dport {constants.STOQ_PORT} return"),
        Rule("answers", f"ct direction reply ct mark {BYPASS_MARK:#x} return"),
        Rule("groups", "fib daddr type != local return"),
        Rule("link-ipv6", "ip6 saddr fe80::/10 return"),
    ]
    return [
        *rules,
        *_excluded(plan.exclude_inbound_ports + plan.exclude_inbound_udp_ports),
        Rule("plaintext", _TO_SOCKET),
        # A connected socket of the application's stands in the way of the transparent one; by now
        # the sidecar has let this flow out.
        Rule("let-out", f"ct mark {UDP_EMIT_MARK:#x} return"),
        Rule("nobody-plaintext", "counter drop"),
    ]


def _excluded(ports: tuple[PortRange, ...]) -> list[Rule]:
    if not ports:
        return []
    return [Rule("excluded-ports", f"udp dport {listed(merged_ports(ports))} counter {_BYPASS}")]


def _marks(*marks: int) -> str:
    return listed([f"{mark:#x}" for mark in marks])


def _errors() -> Chain:
    let_out = _marks(BYPASS_MARK, UDP_EMIT_MARK)
    rules = (
        Rule("loopback", 'oif "lo" return'),
        Rule("let-out", f"ct state related ct mark {let_out} return"),
        Rule("closed-ipv6", f"{_CLOSED_PORT[0]} counter drop"),
        Rule("closed-ipv4", f"{_CLOSED_PORT[1]} counter drop"),
    )
    return Chain("udp_errors", "filter", "output", BEFORE_NAT, rules)


def _stay() -> Chain:
    marks = _marks(*CAPTURED_MARKS, UDP_INJECT_MARK)
    rule = Rule("in-the-pod", f'meta mark {marks} oif != "lo" counter drop')
    return Chain("udp_stay", "filter", "postrouting", LAST, (rule,))
