"""Rounds of figures as ratios and as a Markdown page. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

from benchlib.node import auto
from benchlib.node.settings import Settings
from benchlib.output import loads, measured_on
from benchlib.spread import Spread, ratios

Rounds = Mapping[str, Sequence[float]]
"""Values round by round, by the name of a figure."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: one figure, or two of the same round."""

    meaning: str
    figure: str
    over: str = ""  # divided by this one
    wanted: str = ""
    unit: str = ""
    scale: float = 1.0  # of one figure, for its unit


def _drops(way: str, meaning: str) -> list[Row]:
    return [
        Row(f"{meaning}, {what}", f"{way} {kind}", unit="million/s", scale=1e-6)
        for kind, what in (("initial", "Initials"), ("junk", "junk"))
    ]


def _over(way: str, meaning: str, other: str, wanted: str = "") -> list[Row]:
    name = {"ingress": "netdev ingress"}.get(other, other)
    return [
        Row(f"{meaning} / {name}, {what}", f"{way} {kind}", f"{other} {kind}", wanted)
        for kind, what in (("initial", "Initials"), ("junk", "junk"))
    ]


def _of(figure: str, other: str) -> tuple[str, str]:
    """What joined pods have, and what it is held against."""
    return f"splice {figure} joined", f"splice {figure} {other}"


def _past(figure: str) -> tuple[str, str]:
    """What a meshed pair has past the kernel's stack, and what by its sockets."""
    return f"xdp {figure} lent", f"xdp {figure} sockets"


ROWS: Final = (
    *_drops("frames", "dropped by a core: a program of XDP that drops all, unseen"),
    *_drops("guard-native", "guard (native XDP)"),
    *_drops("guard", "guard (tc)"),
    *_drops("guard-generic", "guard (generic XDP)"),
    *_drops("prerouting", "nftables prerouting, like rules"),
    *_drops("ingress", "nftables netdev ingress, like rules"),
    *_drops("prerouting-port", "nftables prerouting, the whole port"),
    *_drops("ingress-port", "nftables netdev ingress, the whole port"),
    *_over("guard-native", "guard (native XDP)", "prerouting", "≥ 1.5"),
    *_over("guard-native", "guard (native XDP)", "ingress"),
    *_over("guard", "guard (tc)", "prerouting", "≥ 1.5"),
    *_over("guard", "guard (tc)", "ingress", "≥ 1"),
    Row("meshed flow while a sink is blasted", "blast sink", unit="Gbit/s"),
    Row("while its server is, with the guard", "blast guarded", unit="Gbit/s"),
    Row("while its server is, without", "blast unguarded", unit="Gbit/s"),
    Row("with the guard / sink", "blast guarded", "blast sink", "≥ 0.9"),
    Row("without / sink", "blast unguarded", "blast sink"),
    Row("share of the blast that the guard dropped", "blast dropped"),
    Row("sidecars that came back at once behind the guard", "storm connected"),
    Row("packets of theirs that the guard dropped", "storm refused", wanted="0"),
    Row("bulk, nothing attached", "bulk plain", unit="Gbit/s"),
    Row("bulk with the guard / without", "bulk guard", "bulk plain", "≥ 0.97"),
    Row("P99 with the guard / without", "p99 guard", "p99 plain"),
    Row("bulk with tc_strict and tc_account / without", "bulk tc", "bulk plain", "≥ 0.97"),
    Row("P50 with tc_strict and tc_account / without", "p50 tc", "p50 plain"),
    Row("P99 with tc_strict and tc_account / without", "p99 tc", "p99 plain", "≤ 1.05"),
    Row(
        "kill -9 during traffic: packets tried in the clear from and to a strict pod",
        "killed tries",
    ),
    Row("delivered of them, sidecar killed", "killed sidecar", wanted="0"),
    Row("delivered of them, agent killed", "killed agent", wanted="0"),
    Row("delivered of them, control plane killed", "killed control plane", wanted="0"),
    Row("delivered before strict mode, answers among them", "killed unheld"),
    Row("pods of one node, TCP over their links, bulk", "splice bulk raw", unit="Gbit/s"),
    Row("joined (nodeLocal splice), bulk", "splice bulk joined", unit="Gbit/s"),
    Row("pair of Envoys, bulk", "splice bulk envoy", unit="Gbit/s"),
    Row("joined / over their links, bulk", *_of("bulk", "raw"), "≥ 0.85"),
    Row("joined / pair of Envoys, bulk", *_of("bulk", "envoy"), "≥ 1.5"),
    Row("pods of one node, TCP over their links, P50", "splice p50 raw", unit="ms"),
    Row("joined, P50", "splice p50 joined", unit="ms"),
    Row("pair of Envoys, P50", "splice p50 envoy", unit="ms"),
    Row("joined / over their links, P50", *_of("p50", "raw")),
    Row("joined / pair of Envoys, P50", *_of("p50", "envoy"), "≤ 0.5"),
    Row("joined / pair of Envoys, P99", *_of("p99", "envoy")),
    Row("meshed pair by its sockets, bulk", "xdp bulk sockets", unit="Gbit/s"),
    Row("the same past the stack (AF_XDP, copied), bulk", "xdp bulk lent", unit="Gbit/s"),
    Row("past the stack / by sockets, bulk", *_past("bulk")),
    Row("meshed pair by its sockets, packets sent", "xdp packets sockets", unit="1/s"),
    Row("past the stack, packets sent", "xdp packets lent", unit="1/s"),
    Row("past the stack / by sockets, packets sent", *_past("packets")),
    Row("meshed pair by its sockets, P50", "xdp p50 sockets", unit="ms"),
    Row("past the stack, P50", "xdp p50 lent", unit="ms"),
    Row("past the stack / by sockets, P50", *_past("p50")),
    Row("meshed pair by its sockets, P99", "xdp p99 sockets", unit="ms"),
    Row("past the stack, P99", "xdp p99 lent", unit="ms"),
    Row("past the stack / by sockets, P99", *_past("p99")),
    Row("what the agent measures for `auto`, bulk by sockets", "auto bulk sockets", unit="Gbit/s"),
    Row("the same past the stack", "auto bulk lent", unit="Gbit/s"),
    Row("requests in turn by sockets", "auto trips sockets", unit="1/s"),
    Row("the same past the stack, in turn", "auto trips lent", unit="1/s"),
    Row("application to sidecar by loopback, bulk", "local bulk loopback", unit="Gbit/s"),
    Row("bulk with sockops and sk_msg / by loopback", "local bulk short", "local bulk loopback"),
    Row("application to sidecar by loopback, P50", "local p50 loopback", unit="ms"),
    Row("P50 with sockops and sk_msg / by loopback", "local p50 short", "local p50 loopback"),
    Row("P99 with sockops and sk_msg / by loopback", "local p99 short", "local p99 loopback"),
    Row("taken for a reader that does not read, by loopback", "local unread loopback", unit="MB"),
    Row(
        "the same with sockops and sk_msg (256: no end was found)",
        "local unread short",
        unit="MB",
    ),
)


def spread(row: Row, rounds: Rounds) -> Spread | None:
    """A row over all rounds; None where nothing was measured."""
    values = [value * row.scale for value in rounds.get(row.figure, ())]
    if row.over:
        return ratios(values, rounds.get(row.over, ()))
    return Spread.of(values) if values else None


def results(rounds: Rounds) -> dict[str, dict[str, float]]:
    """Every row as figures, by its meaning."""
    found = {row.meaning: spread(row, rounds) for row in ROWS}
    return {
        meaning: {key: round(value, 4) for key, value in asdict(one).items()}
        for meaning, one in found.items()
        if one is not None
    }


def page(
    settings: Settings,
    rounds: Rounds,
    about: Mapping[str, object],
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """All of it as text; `left_out` are parts and why they could not be measured here."""
    lines = [
        "# node",
        "",
        f"`{command(settings)}`",
        "",
        f"{measured_on(about)}, {loads(about)}; stoq {about['stoq']}.",
        "",
        (
            f"{settings.rounds} rounds, {settings.rate} spoofed packets a second beside the flow. "
            "Median, the least and the greatest in brackets; ratios are of figures of one round."
        ),
        "",
        "| | | wanted |",
        "|---|---|---|",
    ]
    for row in ROWS:
        one = spread(row, rounds)
        if one is not None:
            lines.append(f"| {row.meaning} | {_shown(one, row.unit)} | {row.wanted} |")
    if choice := auto.verdict(rounds):
        lines.append(f"| AF_XDP where the agent chooses | {choice} | the same |")
    lines += [f"\nNot measured here, {part}: {why}." for part, why in left_out.items()]
    return "\n".join([*lines, ""])


def command(settings: Settings) -> str:
    """What repeats it."""
    default = Settings()
    names = ("mtu", "seconds", "rounds", "rate", "sidecars")
    changed = [name for name in names if getattr(settings, name) != getattr(default, name)]
    options = [f"--{name} {getattr(settings, name):g}" for name in changed]
    if settings.only:
        options.append(f"--only {','.join(settings.only)}")
    return " ".join(["hack/bench node", *options])


def _shown(one: Spread, unit: str) -> str:
    text = f"{one.median:.4g}{' ' if unit else ''}{unit}"
    if one.min == one.max:
        return text
    return f"{text} ({one.min:.3g}–{one.max:.3g})"
