"""stoq-ready: ends once the sidecar of its pod is ready, so that what comes behind it may start.
Where there is stoq-init, that does so (`stoq_sidecar.init`).

An init container that ended is seen by the kubelet sooner than the success of a startup probe, and
is still true for a kubelet that was started anew. Few imports: it starts while the sidecar does,
and must not take its CPU.
"""

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from stoq import constants

HOSTS: Final = ("::1", "127.0.0.1")

HELD_BACK: Final = 5
"""Seconds for which the sidecar may hold back a no."""

PATIENCE: Final = 10.0
"""Seconds for one answer: more than that."""

PAUSE: Final = 0.02
"""Seconds between two questions; the first ones find nobody listening."""

TOLD_TO_END: Final = 128 + signal.SIGTERM

_HELP = """\
usage: stoq-ready

Waits until the sidecar of this pod is ready, and ends: the init container behind stoq-sidecar.

exit status: 0 the sidecar is ready, 2 there are arguments, 143 told to end meanwhile
"""


def end_when_told() -> None:
    """Has SIGTERM end this program, which as the first process of its container would otherwise not
    hear of it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TOLD_TO_END))


def wait(say: Callable[[str], None]) -> None:
    """Returns once the sidecar is ready; `say` is told for what it waits, whenever that changes."""
    said = ""
    while True:
        missing = _missing()
        if not missing:
            return
        if missing != said:
            say(f"the sidecar is not ready: {missing}")
            said = missing
        time.sleep(PAUSE)


def _missing() -> str:
    """What the sidecar still waits for; empty when it is ready."""
    try:
        status, body = _asked()
    except OSError as error:
        return f"port {constants.METRICS_PORT}: {error}"
    except ValueError:
        return f"port {constants.METRICS_PORT} answers, but not as a sidecar does"
    return "" if status == 200 else "; ".join(body.split("\n")).strip("; ")


def _asked() -> tuple[int, str]:
    """Raises OSError, and ValueError for what is no answer in HTTP."""
    request = (
        f"GET /healthz/ready?wait={HELD_BACK} HTTP/1.1\r\nHost: localhost\r\n"
        "Connection: close\r\n\r\n"
    )
    with _connection() as connection:
        connection.sendall(request.encode())
        answer = b"".join(_pieces(connection)).decode("utf-8", "replace")
    head, _, body = answer.partition("\r\n\r\n")
    protocol, status = head.split(" ", 2)[:2]
    if not protocol.startswith("HTTP/1."):
        raise ValueError(protocol)
    return int(status), body


def _connection() -> socket.socket:
    """To the first address that takes it: a pod may be without IPv6. Raises OSError."""
    *others, last = HOSTS
    for host in others:
        with suppress(OSError):
            return socket.create_connection((host, constants.METRICS_PORT), PATIENCE)
    return socket.create_connection((last, constants.METRICS_PORT), PATIENCE)


def _pieces(connection: socket.socket) -> Iterator[bytes]:
    while piece := connection.recv(4096):
        yield piece


def _say(text: str) -> None:
    sys.stderr.write(f"stoq-ready: {text}\n")
    sys.stderr.flush()


def run(arguments: list[str]) -> int:
    """Does what the command line asks; returns the exit status."""
    if arguments:
        asked = arguments in (["-h"], ["--help"])
        (sys.stdout if asked else sys.stderr).write(_HELP)
        return 0 if asked else 2
    end_when_told()
    wait(_say)
    return 0


def main() -> None:
    """Entry point of the command `stoq-ready`."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
