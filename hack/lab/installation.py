"""How our own programs are started: as a user of their own, from a clone that user may not reach.

The sidecar runs under its own uid without a capability, as in a pod. A clone usually lies in
somebody's home folder, which that user cannot enter. So each such program gets a mount namespace
of its own in which the clone also stands under the run's folder; nothing is copied, and the
machine's own mounts stay as they are.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lab.command import CommandError
from lab.state import State

ROOT: Final = Path(__file__).resolve().parents[2]
"""The clone."""

SIDECAR_UID: Final = 14008
"""User and group of the sidecar; capture knows its traffic by it."""

_MOUNTED: Final = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


def as_root(module: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command that runs one of our Python modules as we are."""
    return [sys.executable, "-m", module, *arguments]


def as_sidecar(state: State, module: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command that runs one of our Python modules as the sidecar's user.

    Raises CommandError when that user could not run the interpreter.
    """
    interpreter = Path(sys.executable).resolve()
    for folder in interpreter.parents:
        if not folder.stat().st_mode & 0o001:
            raise CommandError(
                f"the sidecar's user {SIDECAR_UID} cannot reach the interpreter {interpreter}: "
                f"{folder} is closed to it; remove .venv and let hack/setup use /usr/bin/python3"
            )
    app = state.folder / "app"
    app.mkdir(exist_ok=True)
    venv = Path(sys.prefix)
    python = app / (venv / "bin" / "python").relative_to(ROOT)
    return [
        *("unshare", "--mount", "--propagation", "private", "--"),
        *("sh", "-c", _MOUNTED, "sh", str(ROOT), str(app)),
        *("setpriv", f"--reuid={SIDECAR_UID}", f"--regid={SIDECAR_UID}", "--clear-groups"),
        *("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"),
        *(str(python), "-m", module, *arguments),
    ]


def environment(state: State) -> dict[str, str]:
    """Lets a program started by `as_sidecar` find our packages where it can read them."""
    app = state.folder / "app"
    kept = os.environ.get("PYTHONPATH", "")
    paths = [str(app / "sidecar"), str(app / "operator"), *([kept] if kept else [])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
