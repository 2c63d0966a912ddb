"""Gives up what a process may do beyond an unprivileged user, for good.

`stoq-init` needs NET_ADMIN for some milliseconds and then waits, perhaps for long. It has no
capability by which it could change its user or its bounding set, but anybody may empty the other
sets, and set no_new_privs: then no execve(2), not even as uid 0, gives anything back
(capabilities(7), prctl(2); `cap_bprm_creds_from_file` in the kernel's security/commoncap.c).
"""

import ctypes
import os
from pathlib import Path
from typing import Final

TASKS: Final = Path("/proc/self/task")

# <linux/capability.h>, <linux/prctl.h>
_VERSION_3, _WORDS = 0x20080522, 2
_SET_NO_NEW_PRIVILEGES: Final = 38

_EMPTY: Final = ("CapInh", "CapPrm", "CapEff", "CapAmb")


class PrivilegeError(Exception):
    """The process still has privileges; the text says which, or what the kernel said."""


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    """Of 32 capabilities; what is not given is empty."""

    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def drop() -> None:
    """Empties the effective, permitted, inheritable and ambient capabilities, and sets
    no_new_privs. Only for a process of one thread, as each has its own. Raises PrivilegeError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVILEGES, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise PrivilegeError(f"no_new_privs cannot be set: {_last_error()}")
    header, sets = _Header(_VERSION_3, 0), (_Sets * _WORDS)()
    # What is not permitted any more leaves the ambient set by itself.
    if libc.capset(ctypes.byref(header), sets) != 0:
        raise PrivilegeError(f"capabilities cannot be given up: {_last_error()}")
    for task in TASKS.iterdir():
        kept = left((task / "status").read_text(encoding="ascii", errors="replace"))
        if kept:
            raise PrivilegeError(f"thread {task.name} still has privileges: {kept}")


def left(status: str) -> str:
    """Which privileges a thread still has, by the text of its /proc status; empty: none. Pure."""
    found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    kept = [f"{name} {found.get(name, '?').strip()}" for name in _EMPTY if _any(found.get(name))]
    if found.get("NoNewPrivs", "").strip() != "1":
        kept.append("NoNewPrivs is not 1")
    return ", ".join(kept)


def _any(capabilities: str | None) -> bool:
    """Nobody has said that there are none, either."""
    return capabilities is None or int(capabilities, 16) != 0


def _last_error() -> str:
    return os.strerror(ctypes.get_errno())
