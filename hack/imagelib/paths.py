"""Where the build finds and keeps things."""

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

KEPT = REPOSITORY / ".stoq" / "images"
"""Everything that is built and may be built again."""

CONTEXT = KEPT / "context"
"""What the builder sees."""


def digest(paths: Iterable[Path], *more: str) -> str:
    """Over names and contents of files, and further texts: 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for text in more:
        whole.update(len(text.encode()).to_bytes(8, "big") + text.encode())
    for path in sorted(paths):
        name, content = str(path.relative_to(REPOSITORY)).encode(), path.read_bytes()
        for part in (name, content):
            whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def sources(*folders: str) -> list[Path]:
    """Files below folders of the repository that git knows, or would."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    done = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    names = (name for name in set(done.stdout.split("\0")) if name)
    return sorted(path for name in names if (path := REPOSITORY / name).is_file())


def revision() -> str:
    """The commit that is checked out, `-changed` when files differ from it."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    return f"{commit}-changed" if _git("status", "--porcelain") else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
