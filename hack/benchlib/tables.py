"""Results as Markdown."""

from collections.abc import Mapping

from benchlib.output import measured_on
from benchlib.report import SIDES, Rounds, total_cpu_per_gb
from benchlib.samples import Metric
from benchlib.settings import OURS, Settings
from benchlib.spread import Spread


def command(settings: Settings) -> str:
    """The command that repeats a benchmark."""
    default = Settings(settings.scenario)
    words = ["hack/bench", settings.scenario, f"--mtu {settings.mtu}"]
    numbers = (
        "streams",
        "seconds",
        "rounds",
        "rate",
        "connections",
        "idle",
        "cycles",
        "idle_peers",
        "stalled",
        "calls",
    )
    changed = [name for name in numbers if getattr(settings, name) != getattr(default, name)]
    words += [f"--{name.replace('_', '-')} {getattr(settings, name):g}" for name in changed]
    if settings.new_connections:
        words.append("--new-connections")
    if settings.candidates != default.candidates:
        words.append(f"--peers {','.join(c for c in settings.candidates if c != OURS) or OURS}")
    if settings.pin:
        words.append("--pin")
    return " ".join(words)


def name(settings: Settings) -> str:
    """The files' name: the scenario and what sets it apart."""
    words = [settings.scenario, str(settings.mtu)]
    if settings.scenario == "bulk" and settings.streams > 1:
        words.append(f"{settings.streams}-streams")
    if settings.new_connections:
        words.append("new-connections")
    if settings.scenario == "memory":
        words.append(f"{settings.idle_peers}-peers")
    if settings.pin:
        words.append("pinned")
    return "-".join(words)


def markdown(rounds: Rounds, machine: Mapping[str, object], titles: Mapping[str, str]) -> str:
    """One benchmark as a page."""
    settings = rounds.settings
    lines = [f"# {name(settings)}", "", f"`{command(settings)}`", ""]
    lines += [f"{_machine(machine)}.", ""]
    lines += [
        "Median of the rounds, with the least and the greatest in brackets. A ratio is ours over"
    ]
    lines += ["the peer's of the same round.", ""]
    for metric in rounds.metrics:
        lines += [*_table(rounds, metric, titles), ""]
    lines += _failures(rounds)
    return "\n".join(lines).rstrip() + "\n"


def _table(rounds: Rounds, metric: Metric, titles: Mapping[str, str]) -> list[str]:
    lines = [f"**{metric.name}**, {metric.unit}: {metric.meaning}.", ""]
    columns = ["candidate", metric.unit, "ours / theirs"]
    relays = metric is rounds.metrics[0]
    if relays:
        sides = _sides(rounds)
        columns += [f"relay CPU-s/GB ({' + '.join(sides)})", f"relay RSS MB ({', '.join(sides)})"]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for candidate in rounds.samples:
        spread = rounds.spread(candidate, metric)
        if spread is None:
            continue
        ratio = None if candidate == OURS else rounds.ratio(candidate, metric)
        cells = [titles.get(candidate, candidate), show(spread), show(ratio)]
        if relays:
            cells += [_cpu(rounds, candidate), _memory(rounds, candidate)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _sides(rounds: Rounds) -> list[str]:
    """Whose relays are in the table."""
    used = {side for samples in rounds.samples.values() for one in samples for side in one.relays}
    return [side for side in SIDES if side in used or side != "gateway"]


def show(spread: Spread | None) -> str:
    """Median with its ends, three significant digits."""
    if spread is None:
        return "–"
    return f"{_number(spread.median)} ({_number(spread.min)}–{_number(spread.max)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cpu(rounds: Rounds, candidate: str) -> str:
    cost = total_cpu_per_gb(rounds.samples[candidate])
    return "–" if cost is None else f"{cost:.3f}"


def _memory(rounds: Rounds, candidate: str) -> str:
    sample = rounds.samples[candidate][-1]
    return ", ".join(f"{sample.relays[s].rss_mb:.0f}" for s in SIDES if s in sample.relays) or "–"


def _machine(machine: Mapping[str, object]) -> str:
    versions = machine.get("versions")
    named = versions.items() if isinstance(versions, dict) else ()
    return (
        f"{measured_on(machine)}, rmem_max {machine['rmem_max']}, "
        f"TCP {machine.get('tcp_congestion_control', '?')}, load before {machine['load_before']}, "
        f"steal {machine.get('steal_cores', 0)} cores; "
        + ", ".join(f"{tool} {version}" for tool, version in named)
    )


def _failures(rounds: Rounds) -> list[str]:
    if not rounds.failures:
        return []
    return ["Failed:", "", *(f"- {who}: {what}" for who, what in rounds.failures)]
