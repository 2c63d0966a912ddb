"""`stoqctl adapt`: how connections have adapted to their paths, what binds them, and pins."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from stoqctl.errors import StoqctlError
from stoqctl.options import DEFAULT_ADMIN, Admin, Context, Json, Kubeconfig, Namespace, Netns, Pod
from stoqctl.output import console, duration, print_json, size, table
from stoqctl.sidecars import Pages, sidecar

EXAMPLES: Final = (
    "Examples:\n\nstoqctl adapt shop/web-0\n\nstoqctl adapt shop/web-0 --tier home\n\n"
    "stoqctl adapt shop/web-0 --unpin\n\nsudo stoqctl adapt --netns web-0 --json"
)

COLUMNS: Final = (
    "peer", "remote", "tier", "path", "controller", "round trip", "jitter", "rate", "loss",
    "windows", "last change",
)  # fmt: skip

Tier = Annotated[
    str,
    typer.Option(
        "--tier",
        metavar="NAME",
        help="Pin this tier: slow, home, standard, performance, enterprise or datacenter.",
        show_default=False,
    ),
]

Congestion = Annotated[
    str,
    typer.Option(
        "--congestion",
        metavar="NAME",
        help="Pin this congestion controller: cubic, newreno or bbr3.",
        show_default=False,
    ),
]

Unpin = Annotated[bool, typer.Option("--unpin", help="Adapt as policy and settings say again.")]

Now = Annotated[bool, typer.Option("--now", help="Have every path judged anew, at once.")]


def run(
    pod: Pod = "",
    tier: Tier = "",
    congestion: Congestion = "",
    unpin: Unpin = False,
    now: Now = False,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    netns: Netns = "",
    admin: Admin = DEFAULT_ADMIN,
    as_json: Json = False,
) -> None:
    """Show how a pod's connections have adapted to their paths; or pin a tier or a controller.

    A pin holds for all connections of the pod until --unpin or a restart of its sidecar, within
    what a TransportPolicy says. --json has all inputs, and the last decisions with their causes.
    """
    if unpin and (tier or congestion):
        raise StoqctlError("--unpin takes pins away: leave out --tier and --congestion")
    pages = sidecar(
        pod, namespace=namespace, kubeconfig=kubeconfig, context=context, netns=netns, admin=admin
    )
    _tell(pages, tier=tier, congestion=congestion, unpin=unpin, now=now)
    found = [_shown(item) for item in pages.get("/connections") if item.get("adaptation")]
    binding = _binding(pages)
    if as_json:
        print_json({"adaptation": binding, "connections": found})
        return
    if binding is not None:
        console().print(_bounds(binding))
    if not found:
        console().print("no STOQ connection adapts: there is none, or STOQ_ADAPT_MODE is off")
        return
    console().print(table(COLUMNS, map(_row, found)))


def _tell(pages: Pages, *, tier: str, congestion: str, unpin: bool, now: bool) -> None:
    if tier or congestion or unpin:
        pages.post("/adapt?" + urlencode({"tier": tier, "congestion": congestion}))
    if now:
        pages.post("/adapt-now")


def _binding(pages: Pages) -> Any:
    """Policy, pins and what holds; None for a sidecar of a release that does not tell."""
    try:
        return pages.get("/adapt")
    except StoqctlError:
        return None


def _bounds(binding: dict[str, Any]) -> str:
    """What binds all connections, in one line for the policy and one for pins by hand."""
    policy = dict(binding["policy"] or {})
    name = policy.pop("policy", "")
    lines = [f"policy: {name} ({_words(policy)})" if name else "policy: none"]
    if pins := _words(binding["pins"]):
        lines.append(f"pinned by hand: {pins}")
    lines.append(f"in force: {_words(binding['binds'])}")
    return "\n".join(lines)


def _words(fields: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in fields.items()
        if value not in (None, "")
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"{value[0]:,} to {value[1]:,}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("spiffe_id", "remote", "adaptation")}


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    told = item["adaptation"]
    rate, loss = told["delivery_rate"], told["loss_ratio"]
    return (
        item["spiffe_id"] or "no certificate",
        item["remote"],
        told["tier"],
        f"{told['measured_tier']} ({told['confidence']:.0%})",
        told["congestion"],
        f"{told['min_rtt_seconds'] * 1e3:.1f} ms",
        f"{told['jitter_seconds'] * 1e3:.1f} ms",
        "unknown" if rate is None else f"{rate / 1e6:.0f} Mbit/s",
        "unknown" if loss is None else f"{loss:.2%}",
        f"{size(told['receive_window'])}, {size(told['send_window'])}",
        _change(told["changes"]),
    )


def _change(changes: list[dict[str, Any]]) -> str:
    if not changes:
        return "none yet"
    last = changes[0]
    dry = "" if last["applied"] else ", dry run"
    ago = duration(last["age_seconds"])
    return f"{last['from']} to {last['to']} {ago} ago ({last['cause']}{dry})"
