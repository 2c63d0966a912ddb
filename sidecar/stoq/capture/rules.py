"""What capture programs into a pod: one nftables table, decided here and applied by `nft`.

Everything in this module is pure. A `Plan` says what to capture and what to leave alone,
`chains()` turns it into rules and `render()` into one nft(8) script that replaces the table
atomically: the kernel never runs half of it, and applying it twice is applying it once.

Why each chain exists:

- `steer` and `steer_back` spare STOQ's own datagrams the cost of connection tracking.
- `family` refuses IPv4 in pods that are IPv6-only, before any NAT, so that the caller gets an
  error and not a timeout.
- `outbound` sends the application's new TCP connections to the sidecar. A redirect whose
  listener is gone is answered by the kernel with RST, so a dead sidecar means no connection,
  never plaintext.
- `inbound` does the same for plaintext that arrives at the pod.
- `guard` stops TCP packets that connection tracking refuses to translate (state *invalid*, or
  flows older than the table): untranslated, they would leave for the original destination with
  the application's bytes in them.
- `answers` marks what the application answers to a connection that the sidecar dialled from the
  client's address (`Plan.client_address`), so that `routes` takes it to the sidecar, and
  `stay` drops it should that table be missing: otherwise it would leave for the client, in the
  clear.

With `Plan.splice` some connections go past both sidecars (`stoq.capture.splice`).

DNS towards the pod's name servers goes to the sidecar's resolver: it answers from the loopback
addresses that a redirect leads to, so the kernel can translate its replies back. The chains of all
other UDP (`stoq.capture.udp`) stand beside these.
"""

import hashlib
from typing import Final

from stoq import constants
from stoq.capture import splice
from stoq.capture.chains import (
    AFTER_NAT,
    BEFORE_NAT,
    BYPASS_MARK,
    LAST,
    NAT,
    RAW,
    Chain,
    Rule,
    family_of,
    listed,
)
from stoq.capture.plan import DNS_PORT, Plan, merged_networks, merged_ports
from stoq.capture.udp import udp_chains

FAMILY: Final = "inet"
TABLE: Final = "stoq"

CLIENT_MARK: Final = 0x36B9
"""Connection mark (14009) of what the sidecar dials from a client's address, and packet mark of the
answers."""


def chains(plan: Plan) -> tuple[Chain, ...]:
    """The chains of `plan`, in the order in which they are written."""
    family = (_family_out(), _family_in()) if plan.ipv6_only else ()
    client = (_answers(), _stay()) if plan.client_address else ()
    udp = udp_chains(plan) if plan.udp else ()
    steering = _steering(tracked=plan.udp)
    return (*steering, *family, *client, *udp, _outbound(plan), _inbound(plan), _guard(plan))


def _steering(*, tracked: bool) -> tuple[Chain, Chain]:
    """Where UDP is captured, connections that the sidecar dials are `tracked`: nothing else tells
    their answers from plaintext that comes from the same port.
    """
    to_port = Rule("stoq-to-peer", f"udp dport {constants.STOQ_PORT} notrack")
    from_port = Rule("stoq-from-peer", f"udp sport {constants.STOQ_PORT} notrack")
    out, back = ((from_port,), (to_port,)) if tracked else ((to_port, from_port),) * 2
    return (
        Chain("steer", "filter", "output", RAW, out),
        Chain("steer_back", "filter", "prerouting", RAW, back),
    )


def _family_out() -> Chain:
    return Chain(
        "family",
        "filter",
        "output",
        BEFORE_NAT,
        (
            Rule("loopback", 'oif "lo" accept'),
            Rule("no-ipv4", "meta nfproto ipv4 counter reject with icmpx admin-prohibited"),
        ),
    )


def _family_in() -> Chain:
    return Chain(
        "family_back",
        "filter",
        "prerouting",
        BEFORE_NAT,
        (
            Rule("loopback", 'iif "lo" accept'),
            Rule("no-ipv4", "meta nfproto ipv4 counter drop"),
        ),
    )


def _outbound(plan: Plan) -> Chain:
    to_sidecar = f"counter redirect to :{constants.OUTBOUND_PORT}"
    bypass = f"ct mark set {BYPASS_MARK:#x} return"
    dns = _dns(plan)
    rules = [
        *(rule for rule in dns if rule.name.endswith("udp")),
        Rule("only-tcp", "meta l4proto != tcp return"),
        # Before the uid rule: the sidecar itself dials these to see that capture works.
        Rule("probe-ipv6", f"ip6 daddr ::1 tcp dport {constants.PROBE_PORT} {to_sidecar}"),
        Rule("probe-ipv4", f"ip daddr 127.0.0.1 tcp dport {constants.PROBE_PORT} {to_sidecar}"),
        *_client_address(plan),
        Rule("sidecar", f"meta skuid {listed(plan.sidecar_uids)} {bypass}"),
        # Before the loopback rule: a resolver on the node may be known to the pod as 127.0.0.53.
        *(rule for rule in dns if rule.name.endswith("tcp")),
        # The route of the pod's own addresses goes through lo as well.
        Rule("loopback", 'oif "lo" return'),
    ]
    for address, port in plan.direct_endpoints:
        rules.append(
            Rule(
                f"direct-{address}-{port}",
                f"{family_of(address)} daddr {address} tcp dport {port} {bypass}",
            )
        )
    if plan.exclude_outbound_ports:
        ports = listed(merged_ports(plan.exclude_outbound_ports))
        rules.append(Rule("excluded-ports", f"tcp dport {ports} counter {bypass}"))
    excluded = merged_networks(plan.exclude_outbound_networks)
    for version in (6, 4):
        networks = [n for n in excluded if n.version == version]
        if networks:
            protocol = family_of(networks[0].network_address)
            rules.append(
                Rule(
                    f"excluded-ipv{version}",
                    f"{protocol} daddr {listed(networks)} counter {bypass}",
                )
            )
    if plan.splice:
        rules += splice.let_out()
    rules.append(Rule("capture", f"meta l4proto tcp {to_sidecar}"))
    return Chain("outbound", "nat", "output", NAT, tuple(rules))


def _dns(plan: Plan) -> list[Rule]:
    """DNS of everybody but the sidecar, for each family and protocol that there is."""
    rules = []
    for version in (6, 4):
        servers = [one for one in plan.captured_nameservers if one.version == version]
        rules += [
            Rule(
                f"dns-ipv{version}-{protocol}",
                f"{family_of(servers[0])} daddr {listed(servers)} {protocol} dport {DNS_PORT} "
                f"meta skuid != {listed(plan.sidecar_uids)} "
                f"counter redirect to :{constants.DNS_PORT}",
            )
            for protocol in ("udp", "tcp")
            if servers
        ]
    return rules


def _client_address(plan: Plan) -> tuple[Rule, ...]:
    if not plan.client_address:
        return ()
    foreign = f'meta skuid {listed(plan.sidecar_uids)} oif "lo" fib saddr type != local'
    mark = f"ct mark set {CLIENT_MARK:#x} return"
    return (Rule("client-address", f"{foreign} counter {mark}"),)


def _answers() -> Chain:
    # Of type route: the kernel looks for a route again when the mark has changed. By the connection
    # and not by the socket, since a refusal (RST) has no socket.
    mark = f"ct direction reply ct mark {CLIENT_MARK:#x} meta mark set {CLIENT_MARK:#x}"
    rules = (
        Rule("only-tcp", "meta l4proto != tcp return"),
        Rule("to-sidecar", mark),
    )
    return Chain("answers", "route", "output", BEFORE_NAT, rules)


def _stay() -> Chain:
    # Only here is the link known on which a packet leaves after the last change of its route.
    rule = Rule("in-the-pod", f'ct mark {CLIENT_MARK:#x} oif != "lo" counter drop')
    return Chain("stay", "filter", "postrouting", LAST, (rule,))


def _inbound(plan: Plan) -> Chain:
    rules = [
        Rule("only-tcp", "meta l4proto != tcp return"),
        Rule("loopback", 'iif "lo" return'),
        Rule("metrics", f"tcp dport {constants.METRICS_PORT} return"),
    ]
    if plan.exclude_inbound_ports:
        ports = listed(merged_ports(plan.exclude_inbound_ports))
        rules.append(Rule("excluded-ports", f"tcp dport {ports} counter return"))
    rules += _probes(plan)
    if plan.splice:
        rules += splice.let_in()
    # Connections to our own capture ports come this way too: redirected, their original
    # destination says what was dialled and the sidecar refuses it.
    rules.append(Rule("capture", f"meta l4proto tcp counter redirect to :{constants.INBOUND_PORT}"))
    return Chain("inbound", "nat", "prerouting", NAT, tuple(rules))


def _probes(plan: Plan) -> list[Rule]:
    """What the node dials: taken by the sidecar, every port would seem to be open."""
    rules = []
    for version in (6, 4):
        sources = [one for one in dict.fromkeys(plan.probe_sources) if one.version == version]
        if sources and plan.probe_ports:
            ports = listed(merged_ports(plan.probe_ports))
            origin = f"{family_of(sources[0])} saddr {listed(sources)}"
            rule = f"{origin} tcp dport {ports} counter return"
            rules.append(Rule(f"probes-ipv{version}", rule))
    return rules


def _guard(plan: Plan) -> Chain:
    return Chain(
        "guard",
        "filter",
        "output",
        AFTER_NAT,
        (
            Rule("only-tcp", "meta l4proto != tcp accept"),
            Rule("loopback", 'oif "lo" accept'),
            Rule("sidecar", f"meta skuid {listed(plan.sidecar_uids)} accept"),
            *(splice.guarded() if plan.splice else ()),
            Rule("answer", "ct direction reply accept"),
            Rule("redirected", "ct status dnat accept"),
            Rule("let-out", f"ct mark {BYPASS_MARK:#x} accept"),
            Rule("untracked", "ct state invalid,untracked counter drop"),
            Rule("escaped", "counter reject with tcp reset"),
        ),
    )


def revision(plan: Plan) -> str:
    """16 hexadecimal digits that change with any rule; they name the marker chain."""
    return hashlib.sha256(_body(plan).encode()).hexdigest()[:16]


def marker(plan: Plan) -> str:
    """Name of the empty chain by which a listing tells which plan it came from."""
    return f"revision_{revision(plan)}"


def _body(plan: Plan) -> str:
    lines = [splice.sets().rstrip()] if plan.splice else []
    for chain in chains(plan):
        lines.append(f"  chain {chain.name} {{")
        lines.append(
            f"    type {chain.type} hook {chain.hook} priority {chain.priority}; policy accept;"
        )
        lines.extend(f'    {rule.expression} comment "{rule.name}"' for rule in chain.rules)
        lines.append("  }")
    return "\n".join(lines)


def render(plan: Plan) -> str:
    """The script for `nft -f -` that puts `plan` in force, whatever was there before."""
    return (
        f"table {FAMILY} {TABLE}\n"
        f"delete table {FAMILY} {TABLE}\n"
        f"table {FAMILY} {TABLE} {{\n"
        f"  chain {marker(plan)} {{ }}\n"
        f"{_body(plan)}\n"
        "}\n"
    )


def render_undo() -> str:
    """The script that removes the table and does nothing if there is none."""
    return f"table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n"
