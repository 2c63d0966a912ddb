"""What a demonstration shows, and where those that go by a name are found.

Each module of `lab.demo.scenarios` is one: its name is what `--scenario` takes, and it has a
`SCENARIO`.
"""

import importlib
import pkgutil
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.demo import scenarios
from lab.demo.stage import Stage

COMMON: Final = ("bash", "curl", "ip", "nft", "nsenter", "setpriv", "tcpdump", "unshare")
"""Programs that every demonstration calls."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One demonstration."""

    summary: str
    """One line for `--help`."""
    pods: tuple[str, ...]
    """The pods that it needs, control processes among them; bystanders come by themselves."""
    play: Callable[[Stage], None]
    """Builds the stage, does what it is about, has the stage search and count, and notes checks.
    Raises CommandError or ProcessError when it cannot go on.
    """
    programs: tuple[str, ...] = ()
    """Programs that it calls beside the common ones."""

    def missing(self) -> list[str]:
        """Those that this machine does not have."""
        elsewhere = {"initdb": list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))}
        return [
            name
            for name in (*COMMON, *self.programs)
            if shutil.which(name) is None and not elsewhere.get(name)
        ]


def find() -> dict[str, Scenario]:
    """The scenarios that go by a name, in alphabetical order."""
    modules = sorted(module.name for module in pkgutil.iter_modules(scenarios.__path__))
    return {
        name: importlib.import_module(f"{scenarios.__name__}.{name}").SCENARIO for name in modules
    }
