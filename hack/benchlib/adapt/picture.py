"""One path as a PNG: rate, congestion window, round trip and tier over time."""

from pathlib import Path
from typing import Any, Final

from benchlib.adapt import series
from benchlib.adapt.measure import TITLES
from benchlib.adapt.page import Found
from benchlib.adapt.series import TIERS
from benchlib.errors import BenchError
from lab.netlab.schedule import Schedule

COLOURS: Final = {
    "adapting": "tab:blue",
    "fixed": "tab:orange",
    "quinn": "tab:green",
    "envoy-cubic": "tab:gray",
    "envoy-bbr": "tab:purple",
}


def draw(name: str, schedule: Schedule, found: Found, target: Path) -> None:
    """The last round of each candidate; raises BenchError without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise BenchError("matplotlib is missing: run hack/setup --bench") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(4, 1, figsize=(9, 9), sharex=True)
    end = max(seen.points[-1].seconds for rounds in found.values() for seen in rounds)
    steps = series.path_rates(schedule)
    axes[0].step(
        [*(begins for begins, _ in steps), end], [*(rate for _, rate in steps), steps[-1][1]],
        where="post", color="black", linestyle=":", label="path",
    )  # fmt: skip
    for candidate, rounds in found.items():
        _candidate(axes, candidate, rounds[-1].points)
    axes[2].set_yscale("log")
    axes[3].set_yticks(range(len(TIERS)), TIERS)
    for axis, label in zip(
        axes, ("goodput, Mbit/s", "congestion window, MB", "round trip, ms", "tier"), strict=True
    ):
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].legend(loc="upper right", fontsize="small")
    axes[3].set_xlabel("seconds")
    figure.suptitle(f"{name}: {schedule.description}", fontsize="medium")
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _candidate(axes: Any, name: str, points: Any) -> None:
    style = {"color": COLOURS[name], "label": TITLES[name], "linewidth": 1.2}
    rates = series.rates(points)
    axes[0].plot([at for at, _ in rates], [rate for _, rate in rates], **style)
    known = [point for point in points if point.window]
    axes[1].plot([p.seconds for p in known], [p.window / 1e6 for p in known], **style)
    axes[2].plot([p.seconds for p in known], [p.rtt_ms for p in known], **style)
    tiers = [point for point in points if point.tier in TIERS]
    at = [point.seconds for point in tiers]
    axes[3].step(at, [TIERS.index(point.tier) for point in tiers], where="post", **style)
