"""A record and its shadow: a share of what clients say is copied, and nobody waits for it.

The shadow is another program than the original, and has other answers: none reaches a client. In
the end it is killed, and the client does not notice.
"""

import re
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lab import apps, mirrors, netns, process
from lab.demo import files
from lab.demo.report import Check, Table
from lab.demo.scenario import Scenario
from lab.demo.stage import Stage
from lab.mesh import Mesh, MeshSettings
from lab.mirrors import WHOLE, Mirrored
from lab.plan import Pod
from lab.process import Process

REQUESTS: Final = 40
"""Each on a connection of its own."""

SHARES: Final = (0, WHOLE // 4, WHOLE)

LONGEST: Final = 2.0
"""Seconds that no request takes, whatever has become of the shadow."""

PATIENCE: Final = 10.0
"""Seconds for the last copies."""

_ASK: Final = r"""
for n in $(seq "$1" "$2"); do curl -sf --max-time 10 -w '\n%{time_total}\n' "$3&n=$n"; done; true
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the client had."""

    right: int
    seconds: Sequence[float]
    """Of each request."""


class Client:
    """Asks the record for a file, and numbers its requests."""

    def __init__(self, pod: Pod, url: str, content: str) -> None:
        self._pod = pod
        self._url = url
        self._content = content
        self.asked = 0

    def ask(self) -> Answers:
        """Some requests, one after the other."""
        first, self.asked = self.asked + 1, self.asked + REQUESTS
        argv = ["bash", "-c", _ASK, "bash", str(first), str(self.asked), self._url]
        lines = netns.run_in(self._pod.netns, argv, timeout=11 * REQUESTS).splitlines()
        right = sum(body == self._content for body in lines[::2])
        return Answers(right, [float(time) for time in lines[1::2]])


def play(stage: Stage) -> None:
    """Everything, in the order in which it happens."""
    client, server, shadow = (stage.pod(name) for name in ("client", "server", "shadow"))
    stage.build()
    mesh = stage.start_mesh([server, shadow, client], MeshSettings())
    stage.progress("starting nginx in the server's pod, and another program in the shadow's")
    folder = stage.state.folder / "files"
    folder.mkdir()
    files.marked(folder, "file", 1000, stage.marker.encode())
    apps.nginx(stage.state, server, folder)
    listener = _listener(stage, shadow)
    mirrored = Mirrored(mesh, server, shadow, apps.HTTP_PORT)
    mirrored.share(client, 0)
    url = f"http://[{mirrored.address(client)}]:{mirrors.PORT}/file?{stage.marker}"
    asking = Client(client, url, (folder / "file").read_text())

    rows = []
    for share in SHARES:
        mirrored.share(client, share)
        before = asking.asked
        answers = asking.ask()
        _wait_for_copies(mesh, client)
        heard = [number for number in numbers(listener.log.read_text()) if number > before]
        stage.check(share_check(share, answers, heard))
        rows.append(row(f"{share / 100:g} %", answers, str(len(heard))))
    listener.stop()
    answers = asking.ask()
    _wait_for_copies(mesh, client)
    counted = mesh.counted(client, "stoq_mirrors_")
    stage.check(alone_check(answers, counted))
    rows.append(row("100 %, the shadow is killed", answers, "0"))
    columns = ("copied", "requests", "answered", "the shadow heard", "median", "longest")
    stage.tables.append(Table("What the client asked the record, and had", columns, rows))
    stage.search()
    stage.count()
    stage.evidence(mesh, [server, shadow, client])
    stage.hints.append(f"ip netns exec {client.netns} curl -s '{url}'; tail -1 {listener.log}")


def _listener(stage: Stage, shadow: Pod) -> Process:
    """A web server that has no file, says so, and logs what it was asked."""
    empty = stage.state.folder / "empty"
    empty.mkdir()
    argv = [sys.executable, "-m", "http.server", "--bind", "::", "--directory", str(empty)]
    listener = process.start(
        stage.state, "shadow", [*argv, str(apps.HTTP_PORT)], netns=shadow.netns
    )
    listener.wait_until("listening", lambda: apps.listening(shadow, apps.HTTP_PORT))
    return listener


def _wait_for_copies(mesh: Mesh, client: Pod) -> None:
    def done() -> bool:
        return mesh.counted(client, "stoq_mirrors")["stoq_mirrors"] == 0

    mesh.sidecars[client.name].wait_until("done with its copies", done, PATIENCE)


def numbers(log: str) -> list[int]:
    """The requests that the shadow was asked, by its log."""
    return [int(number) for number in re.findall(r'"GET /file\?\S*&n=(\d+) ', log)]


def share_check(share: int, answers: Answers, heard: Sequence[int]) -> Check:
    """The client had the original's answers, and the shadow heard its share, each request once."""
    copied = len(heard)
    ok = {0: copied == 0, WHOLE: copied == REQUESTS}.get(share, 0 < copied < REQUESTS)
    detail = f"{answers.right} of {REQUESTS} answered, and the shadow heard {copied}"
    right = answers.right == REQUESTS and len(set(heard)) == copied
    return Check(f"{share / 100:g} % mirrored", ok and right, detail)


def alone_check(answers: Answers, counted: dict[str, float]) -> Check:
    """Without a shadow nobody waits: copies fail, and then are not begun for a while."""
    failed, skipped = (counted[f"stoq_mirrors_{name}_total"] for name in ("failed", "skipped"))
    detail = (
        f"{answers.right} of {REQUESTS} answered, the slowest in {max(answers.seconds):.2f} s; "
        f"{failed:.0f} copies failed, {skipped:.0f} were not begun"
    )
    ok = answers.right == REQUESTS and max(answers.seconds) < LONGEST
    return Check("shadow killed", ok and failed > 0 and skipped > 0, detail)


def row(what: str, answers: Answers, heard: str) -> list[str]:
    """The same for the table."""
    median, longest = statistics.median(answers.seconds), max(answers.seconds)
    times = [f"{1000 * seconds:.1f} ms" for seconds in (median, longest)]
    return [what, str(REQUESTS), str(answers.right), heard, *times]


SCENARIO: Final = Scenario(
    summary="a service is mirrored: a shadow hears a share of it, and delays nobody",
    pods=("client", "server", "shadow", "control"),
    play=play,
    programs=("nginx", "ss"),
)
