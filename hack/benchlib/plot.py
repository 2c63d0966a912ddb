"""Results as a PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchlib.errors import BenchError
from benchlib.report import Rounds
from benchlib.samples import Metric
from benchlib.settings import OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Metrics drawn for each scenario: what its claims are about.
DRAWN = {
    "bulk": ("throughput",),
    "latency": ("p50", "p99"),
    "handshake": ("full_per_core", "resumed_per_core"),
    "memory": ("idle_client", "connection_client", "connection_server"),
    "cpu": ("moderate_client", "moderate_server", "full_client", "full_server"),
    "stall": ("kept", "alone", "beside"),
    "api": ("requests", "p50", "p99"),
    "tokens": ("throughput",),
    "hop": ("throughput",),
    "mirror": ("p50", "p99"),
    "shards": ("throughput",),
    "udp": ("echoes", "p50", "bulk"),
}


def draw(rounds: Rounds, titles: Mapping[str, str], title: str, target: Path) -> None:
    """Bars of the medians with the spread as whiskers; raises BenchError without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise BenchError("matplotlib is missing: run hack/setup --bench") from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawn = DRAWN[rounds.settings.scenario]
    metrics = [metric for metric in rounds.metrics if metric.name in drawn]
    height = 1.2 + 0.42 * len(rounds.samples)
    figure, axes = plt.subplots(
        1,
        len(metrics),
        figsize=(1.5 + 4.5 * len(metrics), height),
        squeeze=False,
        sharey=True,
    )
    for axis, metric in zip(axes[0], metrics, strict=True):
        names = [name for name in reversed(list(rounds.samples)) if rounds.values(name, metric)]
        _bars(axis, rounds, metric, names)
        axis.set_yticks(range(len(names)), [titles.get(name, name) for name in names])
        axis.set_xlabel(f"{metric.name}, {metric.unit}")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(target, dpi=120)
    plt.close(figure)


def _bars(axis: "Axes", rounds: Rounds, metric: Metric, names: list[str]) -> None:
    spreads = [rounds.spread(name, metric) for name in names]
    known = [spread for spread in spreads if spread is not None]
    medians = [spread.median for spread in known]
    whiskers = (
        [spread.median - spread.min for spread in known],
        [spread.max - spread.median for spread in known],
    )
    colours = ["tab:blue" if name == OURS else "tab:gray" for name in names]
    axis.barh(range(len(names)), medians, xerr=whiskers, color=colours, capsize=3)
