"""`stoq-init --wait` in a pod: what it may still do while it waits, and how it ends."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lab.plan import Plan as Lab
from stoq.capture import nft
from stoq.capture.netns import run_in
from support.patience import PATIENCE

CONTAINER = ["setpriv", "--bounding-set=-all,+net_admin,+net_raw", "--inh-caps=-all"]
"""What the container runtime leaves to stoq-init, which runs as uid 0."""

EMPTY = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapAmb"), "0" * 16)

WAITS = "the sidecar is not ready: port 14020: "


@pytest.fixture
def pod(make_pods: "partial[Lab]") -> str:
    return f"/run/netns/{make_pods('app').pod('app').netns}"


@contextmanager
def started(pod: str, before: str = "") -> "Iterator[subprocess.Popen[str]]":
    """`stoq-init --wait` as in its container, except that nothing but itself keeps it from new
    privileges. `before` is Python that runs first.
    """
    program = f"{before}\nfrom stoq_sidecar import init; init.main()"
    argv = [*CONTAINER, sys.executable, "-c", program, "--wait"]
    start = partial(subprocess.Popen, argv, stderr=subprocess.PIPE, text=True)
    with run_in(pod, start) as process:
        try:
            yield process
        finally:
            process.kill()


def hears(process: "subprocess.Popen[str]", words: str) -> str:
    """The first line with these words."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return line
    raise AssertionError(f"{words!r} was not said: {said}")


def status(pid: int | str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_while_it_waits_it_has_no_privileges(pod: str) -> None:
    with started(pod) as process:
        hears(process, WAITS)
        assert run_in(pod, nft.read) is not None, "capture is in force by then"
        threads = Path(f"/proc/{process.pid}/task")
        for found in map(status, (f"{process.pid}/task/{each.name}" for each in threads.iterdir())):
            assert found.items() >= (EMPTY | {"NoNewPrivs": "1"}).items()
        # Of these execve(2) would give to uid 0 what there is.
        assert int(status(process.pid)["CapBnd"], 16) != 0


def test_what_it_gave_up_does_not_come_back_by_running_a_program() -> None:
    drop_and_run = (
        "import os; from stoq_sidecar import privileges; privileges.drop();"
        "os.execvp('cat', ['cat', '/proc/self/status'])"
    )
    argv = [*CONTAINER, sys.executable, "-c", drop_and_run]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = dict(line.split(":\t", 1) for line in said.splitlines() if line.startswith("Cap"))
    assert found.items() >= EMPTY.items()


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (
            "from stoq_sidecar import privileges; privileges._VERSION_3 = 0",
            "capabilities cannot be given up: Invalid argument",
        ),
        (
            "from threading import Event, Thread; Thread(target=Event().wait, daemon=True).start()",
            "still has privileges: CapPrm 0000000000003000, CapEff 0000000000003000",
        ),
    ],
)
def test_if_its_privileges_cannot_be_given_up_it_fails(pod: str, before: str, words: str) -> None:
    with started(pod, before) as process:
        assert hears(process, words).startswith("stoq-init: ")
        assert process.wait(PATIENCE) == 1


def test_told_to_end_while_it_waits_it_ends(pod: str) -> None:
    with started(pod) as process:
        hears(process, WAITS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 143


def test_it_ends_once_the_sidecar_is_ready_also_when_it_is_started_again(pod: str) -> None:
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with started(pod) as killed:
        hears(killed, WAITS)
    with started(pod) as again:
        hears(again, "capture is in force already")
        hears(again, WAITS)
        sidecar = run_in(pod, partial(HTTPServer, ("127.0.0.1", 14020), Ready))
        with sidecar:
            thread = threading.Thread(target=sidecar.serve_forever)
            thread.start()
            try:
                assert again.wait(PATIENCE) == 0
            finally:
                sidecar.shutdown()
                thread.join()
