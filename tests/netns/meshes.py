"""A small real mesh for tests: control process, sidecars, and echo servers as applications."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from lab import netns, plan
from lab.mesh import Mesh, MeshSettings
from lab.state import State
from netns.sockets import connect, listen
from support.patience import PATIENCE

PORT = 8080


class Echo:
    """Sends back what comes, connection by connection."""

    def __init__(self, pod: plan.Pod, port: int = PORT) -> None:
        self._listener = listen(pod.netns, port)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.accepted = 0
        self._open: list[socket.socket] = []

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                self._open.append(connection)
                thread = threading.Thread(target=self._echo, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _echo(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def echoed(connection: socket.socket, message: bytes = b"hello through the mesh") -> bool:
    """Whether the message comes back."""
    connection.settimeout(20)
    try:
        connection.sendall(message)
        got = b""
        while len(got) < len(message):
            piece = connection.recv(65536)
            if not piece:
                return False
            got += piece
    except OSError:
        return False
    return got == message


@dataclass
class Running:
    """A mesh that runs, its layout and its state folder."""

    layout: plan.Plan
    mesh: Mesh
    state: State

    def pod(self, name: str) -> plan.Pod:
        return self.layout.pod(name)

    def dial(self, source: str, destination: str, port: int = PORT) -> socket.socket:
        """A TCP connection from one pod to another, as an application makes it."""
        return connect(self.pod(source).netns, self.pod(destination).ipv6, port)

    def reaches(self, source: str, destination: str, port: int = PORT) -> bool:
        """Whether an echo comes back over a new connection."""
        try:
            with self.dial(source, destination, port) as connection:
                return echoed(connection)
        except OSError:
            return False

    def page(self, name: str, url: str, *arguments: str) -> tuple[int, str]:
        """Status and body of a page asked for inside the pod."""
        words = ["curl", "-s", "--max-time", "15", "-w", "\n%{http_code}", *arguments, url]
        body, _, status = netns.run_in(self.pod(name).netns, words).rpartition("\n")
        return int(status), body

    def admin(self, name: str, path: str) -> Any:
        """A JSON page of the admin port."""
        return json.loads(self.page(name, f"http://[::1]:14000{path}")[1])

    def metric(self, name: str, family: str, **labels: str) -> float:
        """The value of the one sample of `family` that has these labels (and maybe others)."""
        found = self._samples(name, family, labels)
        assert len(found) == 1, f"{family} {labels}: {len(found)} samples"
        return found[0]

    def counted(self, name: str, family: str, **labels: str) -> float:
        """The same of what has no sample before it happens for the first time: 0 then."""
        found = self._samples(name, family, labels)
        assert len(found) <= 1, f"{family} {labels}: {len(found)} samples"
        return sum(found)

    def _samples(self, name: str, family: str, labels: Mapping[str, str]) -> list[float]:
        _, body = self.page(name, "http://[::1]:14020/metrics")
        return [
            float(sample.value)
            for metric in text_string_to_metric_families(body)
            for sample in metric.samples
            if sample.name == family and labels.items() <= sample.labels.items()
        ]


@contextmanager
def running(
    *names: str,
    settings: MeshSettings | None = None,
    prepare: Callable[[Running], None] = lambda _: None,
    also: tuple[str, ...] = (),
    links: Callable[[State], Mapping[str, netns.Link]] = lambda _: {},
) -> Iterator[Running]:
    """A mesh whose `names` are ready; `outside`, `control` and those that are `also`
    named are pods without a sidecar.
    `prepare` is called when there are pods, before any program of the mesh runs in them.
    `links` are what pods have instead of a veth pair.
    """
    layout = plan.make(plan.new_run_id("t"), [*names, "control", "outside", *also], ipv4=True)
    state = State.create(layout.run, "test")
    try:
        netns.build(layout, state, links(state))
        mesh = Mesh(state, layout.pod("control"), settings)
        made = Running(layout, mesh, state)
        pods = [layout.pod(name) for name in names]
        prepare(made)
        for pod in pods:
            mesh.enrol(pod)
        mesh.start_control()
        for pod in pods:
            mesh.start_sidecar(pod)
        mesh.wait_ready(pods)
        yield made
    finally:
        state.remove()


def eventually(what: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
