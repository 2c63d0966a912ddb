"""Runs every check, or those named, and prints each problem with the way out."""

import sys
from pathlib import Path

from checks import crds, documents, sizes, tree

CHECKS = {
    "sizes": sizes.problems,
    "tree": tree.problems,
    "documents": documents.problems,
    "crds": crds.problems,
}


def main(names: list[str]) -> int:
    """Returns the exit status: 1 when there is any problem, 2 for an unknown check."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    root = Path.cwd()
    files = tree.tracked(root)
    found = [line for name in names or CHECKS for line in CHECKS[name](root, files)]
    for line in found:
        print(line)
    if not names or "sizes" in names:
        print(sizes.report(root, files))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
