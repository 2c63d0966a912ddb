"""The results as a Markdown page. Pure."""

import textwrap
from collections.abc import Mapping
from typing import Final

from benchlib import oncluster
from benchlib.scale.settings import CREATED, Settings

Row = tuple[str, str, str]

_APART: Final = (
    "Here all sidecars are on the API server's machine, which is so in no cluster. So while the "
    "webhook is measured, API server and webhook have the CPUs first (real-time priority); in the "
    "last rows they have not."
)


def page(settings: Settings, figures: Mapping[str, float], about: Mapping[str, object]) -> str:
    """All figures in a table, with what was wanted of them."""
    lines = [
        "# scale",
        "",
        f"`{command(settings)}`",
        "",
        oncluster.where(about),
        "",
        "| | | wanted |",
        "|---|---|---|",
        *(f"| {name} | {value} | {wanted} |" for name, value, wanted in rows(settings, figures)),
        "",
        *textwrap.wrap(_APART, 120, break_on_hyphens=False),
        "",
    ]
    return "\n".join(lines)


def command(settings: Settings) -> str:
    """What repeats it."""
    if settings.smoke:
        return "hack/bench scale --smoke"
    default = Settings()
    names = ("watched", "changes", "workloads", "sidecars", "records", "restarts", "pods", "pace")
    given = [
        f"--{name} {getattr(settings, name)}"
        for name in names
        if getattr(settings, name) != getattr(default, name)
    ]
    return " ".join(["hack/bench scale", *given])


def rows(settings: Settings, figures: Mapping[str, float]) -> list[Row]:
    """One row per figure that was measured."""

    def ms(name: str) -> str:
        return f"{figures[name] * 1000:.3g} ms"

    def seconds(name: str) -> str:
        return f"{figures[name]:.3g} s"

    def many(what: str) -> str:
        return f"{what}, {settings.workloads} workloads, {settings.records} records"

    def changes(key: str) -> str:
        return f"{figures[f'{key}_load_changes']:.0f} records change"

    watched = f"{settings.watched} sidecars"
    all_ = f"{settings.sidecars} sidecars"
    return [
        *(
            row
            for key, what in (("record", "record applied"), ("ready", "pod ready"))
            for row in (
                (
                    f"{what} → seen by each of {watched}, P50, P99",
                    f"{ms(f'{key}_p50_s')}, {ms(f'{key}_p99_s')}",
                    "P99 < 1 s",
                ),
                (
                    f"{what} → seen by the slowest sidecar, median of {settings.changes}; worst",
                    f"{ms(f'{key}_slowest_sidecar_p50_s')}; {ms(f'{key}_max_s')}",
                    "",
                ),
                (f"{what}, never seen", f"{figures[f'{key}_never_seen']:.0f}", "0"),
            )
        ),
        (
            f"operator's memory, {settings.watched} workloads, no sidecar yet",
            f"{figures['operator_rss_no_sidecars_mb']:.0f} MB",
            "",
        ),
        (
            f"operator's memory, {settings.watched} workloads and {watched}",
            f"{figures['operator_rss_watched_mb']:.0f} MB",
            "",
        ),
        (
            many(f"operator's memory, {watched}"),
            f"{figures['operator_rss_full_watched_mb']:.0f} MB",
            "",
        ),
        (
            many(f"operator's memory, {all_}"),
            f"{figures['operator_rss_full_mb']:.0f} MB",
            "≤ 300 MB",
        ),
        (many(f"operator's CPU, idle, {all_}"), f"{figures['operator_idle_cores']:.3g} cores", ""),
        (
            (
                f"operator's CPU while {settings.workloads} pods, {settings.records} records came "
                f"within {seconds('filling_s')}"
            ),
            seconds("filling_operator_cpu_s"),
            "",
        ),
        (
            f"sent to each of {watched} meanwhile",
            f"{figures['filling_bytes_per_sidecar'] / 1e6:.3g} MB",
            "",
        ),
        (
            many("snapshot of a new sidecar"),
            f"{figures['snapshot_bytes'] / 1e6:.3g} MB",
            "",
        ),
        (
            (
                f"{settings.sidecars - settings.watched} sidecars more join, a snapshot each; "
                "operator's CPU, and memory at most"
            ),
            (
                f"{seconds('joining_s')}; {seconds('joining_operator_cpu_s')}, "
                f"{figures['joining_operator_peak_mb']:.0f} MB"
            ),
            "",
        ),
        (
            f"restart: all {all_} up to date again; median",
            f"{seconds('restart_all_s')}; {seconds('restart_p50_s')}",
            "< 30 s",
        ),
        (
            "restart: operator ends, operator is ready",
            f"{seconds('restart_stop_s')}, {seconds('restart_start_s')}",
            "",
        ),
        (
            "restart: whole snapshots sent; sent to each sidecar",
            (
                f"{figures['restart_snapshots']:.0f}; "
                f"{figures['restart_bytes_per_sidecar'] / 1e3:.3g} KB"
            ),
            "",
        ),
        (
            "restart: operator's CPU, and memory afterwards",
            f"{seconds('restart_operator_cpu_s')}, {figures['restart_operator_rss_mb']:.0f} MB",
            "",
        ),
        *(
            row
            for key, while_ in (
                ("quiet", f"{watched} watch and nothing changes"),
                ("watched", f"{changes('watched')} for {watched}, {CREATED:g} pods a second"),
                ("webhook", f"{changes('webhook')} for {all_}, {CREATED:g} pods a second"),
                ("flood", f"{changes('flood')} for {all_}, pods as fast as it goes"),
                (
                    "shared",
                    f"{changes('shared')} for {all_}, {CREATED:g} pods a second, CPUs shared",
                ),
            )
            for row in (
                (
                    f"webhook, {figures[f'{key}_count']:.0f} calls while {while_}: mean, P50, P99",
                    f"{ms(f'{key}_mean_s')}, {ms(f'{key}_p50_s')}, {ms(f'{key}_p99_s')}",
                    "P99 < 20 ms",
                ),
                (
                    "of these within 5 ms, within 25 ms (the histogram's bounds)",
                    f"{figures[f'{key}_within_5_ms']:.1%}, {figures[f'{key}_within_25_ms']:.1%}",
                    "",
                ),
                (
                    "a creation with the calls in it, as its client sees it: P50, P99",
                    f"{ms(f'{key}_whole_p50_s')}, {ms(f'{key}_whole_p99_s')}",
                    "",
                ),
            )
        ),
    ]
