"""Documents say what is true: links lead somewhere, and commands name programs that are there."""

import re
from pathlib import Path

# [text](target), not an image of somewhere else and not inside `code`.
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
_FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_IN_LINE = re.compile(r"`(?:\./)?(hack/[a-z][\w/.-]*)")
_PROGRAM = re.compile(r"^\s*(?:\$ |sudo )?((?:\./)?hack/[\w/.-]+|stoq[\w-]*)")


def problems(root: Path, files: list[str]) -> list[str]:
    """One line for each dead link or command in a Markdown file."""
    scripts = _entry_points((root / "pyproject.toml").read_text())
    found = []
    for name in files:
        if not name.endswith(".md"):
            continue
        text = (root / name).read_text(encoding="utf-8")
        found += [f"{name}: link to {target}: no such place" for target in _dead(root, name, text)]
        found += [
            f"{name}: {command}: no such command" for command in _unknown(root, text, scripts)
        ]
    return found


def _dead(root: Path, name: str, text: str) -> list[str]:
    dead = []
    for target in _LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        place = (root / name).parent / path if path else root / name
        if not place.exists() or (anchor and not _has_anchor(place, anchor)):
            dead.append(target)
    return dead


def _has_anchor(place: Path, anchor: str) -> bool:
    return place.suffix != ".md" or anchor in _anchors(place.read_text(encoding="utf-8"))


def _anchors(text: str) -> set[str]:
    """Headings as GitHub turns them into anchors."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


def _unknown(root: Path, text: str, scripts: set[str]) -> list[str]:
    commands = set(_IN_LINE.findall(text))
    for block in _FENCE.findall(text):
        for line in block.splitlines():
            match = _PROGRAM.match(line)
            if match:
                commands.add(match[1].removeprefix("./"))
    return sorted(
        command
        for command in commands
        if not (root / command.rstrip(".")).exists() and command not in scripts
    )


def _entry_points(pyproject: str) -> set[str]:
    section = pyproject.partition("[project.scripts]")[2].partition("\n[")[0]
    return set(re.findall(r"^([\w-]+)\s*=", section, re.MULTILINE))
