"""What may lie in the repository."""

import re
import subprocess
from pathlib import Path

BUILT = {".o", ".so", ".whl", ".pyc", ".pcap"}
"""Endings of what is built, never committed."""

LEFT_BEHIND = re.compile(r"\b(TODO|FIXME|XXX)\b|\btodo!\(|\bunimplemented!\(|NotImplementedError")
SKIPPED = re.compile(
    r"pytest\.mark\.skip|pytest\.skip\(|#\[ignore(?!\s*=\s*\"[^\"]*hack/test netns runs it\")"
)
"""A Rust test that needs root is ignored by the rust ring and run by the netns ring; it says so."""
ADDRESS = re.compile(r"://")


def tracked(root: Path) -> list[str]:
    """Files of the repository, also those not yet committed but not ignored."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True)
    return sorted(name for name in set(done.stdout.split("\0")) if (root / name).is_file())


def problems(root: Path, files: list[str]) -> list[str]:
    """One line for each file that may not be there, or holds what may not be there."""
    found = []
    for name in files:
        parts = Path(name).parts
        if parts[0] == "operator" and parts[1:] == ("__init__.py",):
            found.append(f"{name}: shadows Python's own operator module; remove it")
        if "tests" in parts and "operator" in parts[:-1]:
            found.append(f"{name}: a test folder named operator shadows Python's module; rename it")
        if Path(name).suffix in BUILT:
            found.append(f"{name}: built things are not committed")
        if name.startswith("requirements") and ADDRESS.search(_text(root / name)):
            found.append(f"{name}: names an address; renew it with hack/lib/lock")
        if Path(name).suffix in {".py", ".rs"} and name != "hack/checks/tree.py":
            for number, line in enumerate(_text(root / name).splitlines(), 1):
                if LEFT_BEHIND.search(line):
                    found.append(f"{name}:{number}: unfinished: {line.strip()}")
                if SKIPPED.search(line):
                    found.append(f"{name}:{number}: a test that is not run looks green; mend it")
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
