"""Strict mode while programs are killed: is anything in the clear delivered?

Between two pods of a mesh an application asks without a pause, and in both a program tries all the
time to send in the clear. Then the sidecar of the one, the agent of its node and the control plane
are killed (SIGKILL), one after another, left dead for a while, and started again.

The witness is tcpdump on the fabric, which the programs under test know nothing of: it looks at
what leaves the fabric into the two pods. Only the one pod is held by its node, so what it sends or
gets in the clear is stopped on its own link or nowhere.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from signal import SIGKILL
from typing import Final

from lab import installation, netns, process, sniff
from lab.mesh import Mesh
from lab.node import Node
from lab.packets import Kind, Packet
from lab.plan import Plan, Pod
from lab.process import Process, ProcessError

VICTIMS: Final = ("sidecar", "agent", "control plane")

UNDERWAY_SECONDS: Final = 0.5
"""In which what was answered before a program died gets to who asked."""

ENOUGH: Final = 200
"""Packets that are tried in the clear, from both pods together, while a program is dead: a second
or two."""

RETURN_SECONDS: Final = 60.0
"""How long a program and its traffic may take to come back on a busy machine."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened in a while."""

    tries: int
    """Packets that were sent in the clear."""
    answers: int
    """What the application was answered; while a program was dead, if one was killed."""
    plaintext: Mapping[str, int]
    """Packets in the clear that were delivered: `TCP to server` -> how many."""

    @property
    def delivered(self) -> int:
        """All of them."""
        return sum(self.plaintext.values())


class Trial:
    """Two pods, and what tries in them."""

    def __init__(self, mesh: Mesh, layout: Plan, client: Pod, server: Pod, tries: "_Tries") -> None:
        self._node = Node(layout, mesh.state)
        if reason := self._node.lacks().get("strict"):
            raise ProcessError(f"this machine has no strict: {reason}")
        self._mesh = mesh
        self._layout = layout
        self._pods = client, server
        self._tries = tries
        self._agent: Process | None = None

    def unheld(self) -> Seen:
        """Before strict mode is in force: the witness must see what is tried."""
        watch = self._watch("unheld")
        self._tries.wait_for_more()
        return watch.end(self._tries.answers - watch.answers)

    def hold(self) -> None:
        """Puts the client under strict mode, by an agent."""
        self._node.strict(self._pods[0], udp=False)
        self._agent = self._node.start()

    def kill(self, victim: str) -> Seen:
        """Kills one of `VICTIMS` during traffic, and starts it again after a while."""
        living, begin = self._victim(victim)
        if living is None:
            raise ValueError(f"{victim}: was not started")
        watch = self._watch(victim.replace(" ", "-"))
        self._tries.wait_for_answers()
        living.stop(number=SIGKILL)
        time.sleep(UNDERWAY_SECONDS)
        before = self._tries.answers
        self._tries.wait_for_more()
        answers = self._tries.answers - before
        begin()
        self._tries.wait_for_answers()
        return watch.end(answers)

    def dropped(self) -> float:
        """Packets that the kernel says it has dropped, both ways."""
        return sum(self._node.dropped(self._pods[0], way) for way in ("from_pod", "to_pod"))

    def _victim(self, name: str) -> tuple[Process | None, Callable[[], object]]:
        """What is killed, and what starts it again."""
        if name == "sidecar":
            return self._mesh.sidecars[self._pods[0].name], self._start_sidecar
        if name == "agent":
            return self._agent, self._start_agent
        return self._mesh.control, self._mesh.start_control

    def _start_sidecar(self) -> None:
        self._mesh.start_sidecar(self._pods[0])
        self._mesh.wait_ready(self._pods[:1])

    def _start_agent(self) -> None:
        self._agent = self._node.start()

    def _watch(self, name: str) -> "_Watch":
        capture = sniff.Capture.start(
            self._mesh.state,
            f"outage-{name}",
            self._layout.fabric,
            expression=sniff.NOT_STOQ,
            snapshot=sniff.HEAD_BYTES,
        )
        links = {_interface(self._layout.fabric, pod) for pod in self._pods}
        return _Watch(capture, frozenset(links), self._pods, self._tries)


class _Watch:
    """From now until its end."""

    def __init__(
        self,
        capture: sniff.Capture,
        links: frozenset[int],
        pods: tuple[Pod, Pod],
        tries: "_Tries",
    ) -> None:
        self._capture = capture
        self._links = links
        self._pods = pods
        self._tries = tries
        self._before = tries.packets
        self.answers = tries.answers

    def end(self, answers: int) -> Seen:
        """Raises ProcessError when the witness has missed anything."""
        tries = self._tries.packets - self._before
        if missed := self._capture.stop():
            raise ProcessError(f"tcpdump missed {missed} packets: the count proves nothing")
        frames = sniff.delivered(self._capture.file.read_bytes(), self._links)
        return Seen(tries, answers, clear_between(frames, *self._pods))


def clear_between(packets: Iterator[Packet], one: Pod, other: Pod) -> dict[str, int]:
    """What of `packets` goes from one pod to the other in the clear, as `Seen.plaintext`. Pure."""
    found: Counter[str] = Counter()
    for packet in packets:
        for source, destination in ((one, other), (other, one)):
            between = (
                packet.source in source.addresses and packet.destination in destination.addresses
            )
            if between and packet.kind is Kind.PLAINTEXT:
                found[f"{packet.label.split()[0]} to {destination.name}"] += 1
    return dict(found)


class _Tries:
    """The programs that try (`lab.trying`)."""

    def __init__(self, asking: Process, clear: tuple[Process, ...]) -> None:
        self._asking = asking
        self._clear = clear

    @property
    def answers(self) -> int:
        """So far."""
        return _said(self._asking)

    @property
    def packets(self) -> int:
        """In the clear, so far."""
        return sum(_said(one) for one in self._clear)

    def wait_for_answers(self) -> None:
        """Until the application is answered, from now on. Raises ProcessError."""
        before = self.answers
        self._asking.wait_until("answered", lambda: self.answers > before, RETURN_SECONDS)

    def wait_for_more(self) -> None:
        """Until each pod has tried its part of `ENOUGH`. Raises ProcessError."""
        for one in self._clear:
            least = _said(one) + ENOUGH // len(self._clear)
            one.wait_until("trying", partial(_reached, one, least))


def _said(one: Process) -> int:
    lines = one.tail(100).splitlines()
    return int(json.loads(lines[-1])[0]) if lines else 0


def _reached(one: Process, least: int) -> bool:
    return _said(one) >= least


def _interface(fabric: str, pod: Pod) -> int:
    shown = json.loads(netns.run_in(fabric, ["ip", "-j", "link", "show", pod.port]))
    return int(shown[0]["ifindex"])


@contextmanager
def trial(mesh: Mesh, layout: Plan, client: Pod, server: Pod, port: int) -> Iterator[Trial]:
    """Two pods whose sidecars are ready; `client` is to be held, and a program of `server` sends
    back what it gets on `port`. Raises ProcessError where the kernel has no strict mode.
    """
    with ExitStack() as stack:

        def started(kind: str, source: Pod, targets: tuple[object, ...]) -> Process:
            words = [sys.executable, "-m", "lab.trying", kind, str(port), *map(str, targets)]
            made = process.start(
                mesh.state,
                f"{kind}-{source.name}",
                words,
                netns=source.netns,
                environment={"PYTHONPATH": str(installation.ROOT / "hack")},
            )
            stack.callback(made.stop)
            return made

        asking = started("mesh", client, (server.ipv6,))
        clear = (
            started("clear", client, server.addresses),
            started("clear", server, client.addresses),
        )
        yield Trial(mesh, layout, client, server, _Tries(asking, clear))
