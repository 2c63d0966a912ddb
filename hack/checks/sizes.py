"""Modules stay small: past the limit, a file is a design question."""

import re
from pathlib import Path
from statistics import median

LIMIT = 400
"""Lines of a module, its tests aside."""

REASONS: dict[str, str] = {}
"""Path -> why this module may be longer."""

# A Rust module's unit tests stand at its end.
_RUST_TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod tests \{", re.MULTILINE)


def lines(name: str, text: str) -> int:
    """How many lines of `text` count."""
    if name.endswith(".rs"):
        tests = _RUST_TESTS.search(text)
        text = text[: tests.start()] if tests else text
    return text.count("\n")


def _modules(root: Path, files: list[str]) -> dict[str, int]:
    counted = {}
    for name in files:
        path = Path(name)
        is_code = path.suffix in {".py", ".rs", ".pyi", ".c", ".h"} or name.startswith("hack/")
        is_test = bool({"tests", "fuzz"} & set(path.parts)) or path.name in {"tests.rs"}
        if (
            is_code
            and not is_test
            and path.suffix not in {".txt", ".yaml", ".toml", ".md", ".lock", ".mod", ".sum"}
        ):
            counted[name] = lines(name, (root / name).read_text(encoding="utf-8", errors="replace"))
    return counted


def problems(root: Path, files: list[str]) -> list[str]:
    """One line for each module past the limit without a reason, and for each stale reason."""
    counted = _modules(root, files)
    found = [
        f"{name}: {count} lines, the limit is {LIMIT}: split it by subject"
        for name, count in counted.items()
        if count > LIMIT and name not in REASONS
    ]
    stale = [name for name in REASONS if counted.get(name, 0) <= LIMIT]
    return found + [f"hack/checks/sizes.py: {name} no longer needs its reason" for name in stale]


def report(root: Path, files: list[str]) -> str:
    """One line: how many modules, the median, the longest."""
    counted = _modules(root, files)
    longest = sorted(counted, key=lambda name: -counted[name])[:3]
    tops = ", ".join(f"{name} {counted[name]}" for name in longest)
    return f"{len(counted)} modules, median {median(counted.values()):g} lines; longest: {tops}"
