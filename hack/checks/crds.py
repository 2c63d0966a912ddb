"""The chart carries copies of crds/, since Helm reads nothing outside of a chart: both agree."""

from pathlib import Path

SOURCE = "crds"
COPY = "charts/stoq/files/crds"


def problems(root: Path, files: list[str]) -> list[str]:
    """One line for each definition that is not the same in both places."""
    here = {Path(name).name for name in files if Path(name).parent == Path(SOURCE)}
    there = {Path(name).name for name in files if Path(name).parent == Path(COPY)}
    return [
        f"{COPY}/{name}: not the same as {SOURCE}/{name}, which counts: hack/check --fix copies"
        for name in sorted(here | there)
        if _text(root / SOURCE / name) != _text(root / COPY / name)
    ]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
