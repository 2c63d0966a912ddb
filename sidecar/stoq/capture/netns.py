"""Runs a function inside another network namespace.

Linux gives each thread its own network namespace (setns(2)), so a thread made for the purpose
enters the namespace, does the work and ends: nothing else in the process ever runs there by
accident. Sockets opened there stay in that namespace wherever they are used afterwards, and
child processes started there inherit it.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

CLONE_NEWNET: Final = 0x40000000  # <linux/sched.h>

T = TypeVar("T")


class NamespaceError(OSError):
    """A network namespace could not be opened or entered."""


def run_in(netns: str | int, function: Callable[[], T]) -> T:
    """Calls `function` in `netns` (a path such as /run/netns/web-0 or /proc/7/ns/net, or an open
    descriptor of one) and returns or raises what it does.

    Blocks until the function returns; from asyncio use `asyncio.to_thread(run_in, ...)`.
    Raises NamespaceError when the namespace cannot be opened or entered.
    """
    return _apart(partial(_enter, netns), function)


def run_in_new(function: Callable[[], T]) -> T:
    """The same in a network namespace that is made for it, and is gone when `function` has
    returned, unless a socket that was opened there stays.

    Raises NamespaceError when none can be made.
    """
    return _apart(_make, function)


def _apart(enter: Callable[[], None], function: Callable[[], T]) -> T:
    outcome: list[T] = []
    failure: list[BaseException] = []

    def visit() -> None:
        try:
            enter()
            outcome.append(function())
        except BaseException as error:  # handed to the caller, whatever it is
            failure.append(error)

    thread = threading.Thread(target=visit, name="stoq-netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(netns: str | int) -> None:
    if isinstance(netns, int):
        _setns(netns, f"descriptor {netns}")
        return
    try:
        descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NamespaceError(
            error.errno,
            f"network namespace {netns!r}: {error.strerror}; list the named ones with "
            "'ip netns list', or use /proc/<pid>/ns/net of a process inside it",
        ) from error
    try:
        _setns(descriptor, repr(netns))
    finally:
        os.close(descriptor)


def _setns(descriptor: int, name: str) -> None:
    # Python has os.setns and os.unshare from 3.12 on; the library runs on 3.11.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(ctypes.c_int(descriptor), ctypes.c_int(CLONE_NEWNET)) != 0:
        errno = ctypes.get_errno()
        raise NamespaceError(
            errno,
            f"cannot enter network namespace {name}: {os.strerror(errno)}; it takes "
            "CAP_SYS_ADMIN in the user namespace that owns it",
        )


def _make() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(ctypes.c_int(CLONE_NEWNET)) != 0:
        errno = ctypes.get_errno()
        raise NamespaceError(
            errno,
            f"cannot make a network namespace: {os.strerror(errno)}; it takes CAP_SYS_ADMIN",
        )
