"""The folder in which an agent's maps and links are pinned, and a hold on it.

The hold keeps other agents away. It keeps the file system as well: what is pinned there stays in
force when that is unmounted by force, or another is mounted over it.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from stoq_node._kernel import Pins

_LINKS: Final = "links"
_MAPS: Final = "maps"
"""Where crates/stoq-bpf/src/pins.rs pins links, each as `<program>@<interface index>`, and maps, in
a folder `<object>-<digest>` for each version."""


class AgentError(Exception):
    """The agent cannot run here; the text says why and what to do."""


class Folder:
    """Held until it is closed, or the process ends."""

    def __init__(self, path: str) -> None:
        """Makes the folder if it is not there.

        Raises `AgentError` when another agent holds it: two would undo each other's work.
        `KernelError` or `OSError` when it cannot be made.
        """
        self.path = path
        self.pins = Pins(path)
        self._held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise AgentError(
                f"another agent holds {path}: end it first, or give this one a folder of its own "
                "with STOQ_KERNEL_PINS"
            ) from error

    @property
    def hidden(self) -> bool:
        """Whether its path leads elsewhere by now, or nowhere."""
        held = os.fstat(self._held)
        try:
            there = Path(self.path).stat()
        except OSError:
            return True
        return (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino)

    def unpin(self, program: str = "", index: int = 0) -> None:
        """Takes `program`, or all there are, off the link of an `index`, or all of them, where they
        are pinned here, also when the folder is hidden.
        """
        with suppress(FileNotFoundError), self._inside(_LINKS) as links:
            for name in os.listdir(links):  # noqa: PTH208 (a path may lead elsewhere)
                found, _, of = name.partition("@")
                if program in {"", found} and (not index or of == str(index)):
                    os.unlink(name, dir_fd=links)

    def forget(self, of: str) -> None:
        """Removes the maps that are pinned here for the object `of`, of all versions. Those that a
        program uses are there for as long as it is.
        """
        with suppress(FileNotFoundError), self._inside(_MAPS) as maps:
            for name in os.listdir(maps):  # noqa: PTH208
                if name.rpartition("-")[0] == of:
                    shutil.rmtree(name, dir_fd=maps)

    def close(self) -> None:
        """Lets go of it; what is pinned stays for as long as its file system does."""
        if self._held >= 0:
            os.close(self._held)
        self._held = -1

    @contextmanager
    def _inside(self, name: str) -> Iterator[int]:
        """One of its folders. Raises FileNotFoundError when somebody has removed it."""
        found = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._held)
        try:
            yield found
        finally:
            os.close(found)
