"""The state directory: what the control process must find again after a restart.

`ca/roots.json`, `ca/<name>.key`, `ca/<name>.crt`, `issued.jsonl`, `vips.json`. Everything is
written to a new file, synced and renamed, so that a crash leaves the old or the new content.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from stoq_operator.kept import StateError

DIRECTORY_MODE: Final = 0o700
SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644


class StateDirectory:
    """A directory that only its owner may read."""

    def __init__(self, path: Path) -> None:
        """Creates what is missing. Raises `StateError`."""
        self.path = path
        try:
            for directory in (path, path / "ca"):
                directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            mode = path.stat().st_mode
        except OSError as error:
            raise StateError(
                f"the state directory {path} can not be made: {error.strerror}; "
                "choose another with --state"
            ) from error
        if mode & 0o077:
            raise StateError(
                f"the state directory {path} holds the keys of the mesh and others may enter it "
                f"(mode {mode & 0o777:o}); run: chmod 700 {path}"
            )

    def read(self, name: str) -> bytes | None:
        """The content of a file; `None` when there is none. Raises `StateError`."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.path / name} can not be read: {error.strerror}") from error

    def write(self, name: str, data: bytes) -> None:
        """Replaces a file, readable by the owner only. Raises `StateError`."""
        write_file(self.path / name, data, SECRET_MODE)

    def append(self, name: str, data: bytes) -> None:
        """Adds to the end of a file. Raises `StateError`."""
        try:
            handle = os.open(
                self.path / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, SECRET_MODE
            )
            try:
                os.write(handle, data)
            finally:
                os.close(handle)
        except OSError as error:
            raise StateError(f"{self.path / name} can not be written: {error.strerror}") from error

    def remove(self, name: str) -> bool:
        """Deletes a file; returns whether there was one."""
        try:
            (self.path / name).unlink()
        except FileNotFoundError:
            return False
        return True


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Replaces `path` in one step. Raises `StateError`."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            fresh.unlink()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as file:
            # The umask may have taken bits away that the readers of a public file need.
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise StateError(f"{path} can not be written: {error.strerror}") from error
