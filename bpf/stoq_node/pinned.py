"""The folder in which an agent's maps and links are pinned, and a hold on it.

The hold keeps other agents away. It keeps the file system as well: what is pinned there stays in
force when that is unmounted by force, or another is mounted over it.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from stoq_node._kernel import Pins

_LINKS: Final = "links"
"""Where crates/stoq-bpf/src/pins.rs pins links, each as `<program>@<interface index>`."""


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

    def unpin(self, program: str = "") -> None:
        """Takes `program`, or all there are, off the links where they are pinned here, also when
        the folder is hidden.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        with suppress(FileNotFoundError):  # Somebody has removed the folder itself.
            links = os.open(_LINKS, flags, dir_fd=self._held)
            try:
                for name in os.listdir(links):  # noqa: PTH208 (a path may lead elsewhere)
                    if program in {"", name.partition("@")[0]}:
                        os.unlink(name, dir_fd=links)
            finally:
                os.close(links)

    def close(self) -> None:
        """Lets go of it; what is pinned stays for as long as its file system does."""
        if self._held >= 0:
            os.close(self._held)
        self._held = -1
