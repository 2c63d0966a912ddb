"""Where results go, and what the pages of several benchmarks say alike."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Output:
    """How results are shown and kept."""

    json: bool  # one object on standard output instead of tables
    folder: Path | None  # where files are written

    @classmethod
    def of(cls, given: argparse.Namespace) -> "Output":
        """From the options of `add_options`."""
        return cls(given.json, given.out)


def add_options(
    parser: argparse.ArgumentParser, written: str = "JSON and a Markdown page there"
) -> None:
    """The options that `Output` is made of."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"also write {written}")


def show(output: Output, name: str, result: Mapping[str, object], page: str) -> None:
    """Prints one of them, and keeps both as `name` where a folder was named."""
    text = json.dumps(result, indent=2)
    print(text if output.json else page)
    if output.folder is not None:
        output.folder.mkdir(parents=True, exist_ok=True)
        (output.folder / f"{name}.json").write_text(text + "\n")
        (output.folder / f"{name}.md").write_text(page)


def measured_on(about: Mapping[str, object]) -> str:
    """The machine, without a full stop: a page adds what it has besides."""
    return f"Machine: {about['cpus']} × {about['cpu']}, Linux {about['kernel']}"


def loads(about: Mapping[str, object]) -> str:
    """How busy it was otherwise, for the sentence that `measured_on` begins."""
    return f"load {about['load_before']} before and {about['load_after']} after"


def failed(failures: Sequence[object]) -> list[str]:
    """The lines at the end of a page; none where nothing failed."""
    return ["", "Failed:", "", *(f"- {each}" for each in failures)] if failures else []
