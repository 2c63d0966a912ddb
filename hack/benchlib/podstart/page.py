"""The results as figures and as a Markdown page. Pure."""

from collections.abc import Mapping

from benchlib import oncluster
from benchlib.podstart.measure import MESHED, PLAIN, Found
from benchlib.podstart.settings import Settings
from benchlib.scale.quantiles import percentile


def figures(found: Found) -> dict[str, float]:
    """Seconds, cores and bytes."""
    seconds = {
        f"{name}_p{share}_s": percentile(found.starts[namespace], share / 100)
        for name, namespace in (("plain", PLAIN), ("meshed", MESHED))
        for share in (50, 95)
    }
    cores = [
        (after.cpu - before.cpu) / (after.at - before.at)
        for before, after in found.idle
        if after.at > before.at
    ]
    return {
        **seconds,
        "added_p50_s": seconds["meshed_p50_s"] - seconds["plain_p50_s"],
        "added_p95_s": seconds["meshed_p95_s"] - seconds["plain_p95_s"],
        "idle_cores_p50": percentile(cores, 0.5),
        "idle_cores_max": percentile(cores, 1.0),
        "idle_rss_p50": percentile([after.rss for _, after in found.idle], 0.5),
        "idle_rss_max": percentile([after.rss for _, after in found.idle], 1.0),
        "sidecars": float(len(found.idle)),
    }


def page(settings: Settings, figures: Mapping[str, float], about: Mapping[str, object]) -> str:
    """All figures in a table, with what was wanted of them."""

    def seconds(name: str) -> str:
        return f"{figures[f'{name}_p50_s']:.2f} s, {figures[f'{name}_p95_s']:.2f} s"

    def milli(name: str) -> str:
        return f"{figures[name] * 1000:.1f}"

    def mb(name: str) -> str:
        return f"{figures[name] / 1e6:.1f}"

    rows = [
        ("a pod without sidecar, from request to ready: P50, P95", seconds("plain"), ""),
        ("a meshed pod: P50, P95", seconds("meshed"), ""),
        ("difference: P50, P95", seconds("added"), "P95 ≤ 1.5 s"),
        (
            "idle sidecar's CPU: median, most",
            f"{milli('idle_cores_p50')}, {milli('idle_cores_max')} mCPU",
            "≤ 5 mCPU",
        ),
        (
            "idle sidecar's memory (rssBytes of the kubelet, without files): median, most",
            f"{mb('idle_rss_p50')}, {mb('idle_rss_max')} MB",
            "≤ 45 MB",
        ),
    ]
    return "\n".join(
        [
            "# pod-start",
            "",
            f"`{command(settings)}`",
            "",
            oncluster.where(about),
            "",
            (
                f"{settings.pods} pods of each sort, one after the other and in turn; then "
                f"{figures['sidecars']:.0f} sidecars, {settings.seconds:g} s."
            ),
            "",
            "| | | wanted |",
            "|---|---|---|",
            *(f"| {name} | {value} | {wanted} |" for name, value, wanted in rows),
            "",
        ]
    )


def command(settings: Settings) -> str:
    """What repeats it."""
    default = Settings()
    return " ".join(
        ["hack/bench pod-start"]
        + [
            f"--{name} {getattr(settings, name):g}"
            for name in ("pods", "seconds")
            if getattr(settings, name) != getattr(default, name)
        ]
    )
