"""The kernel programs, loaded once for all measurements, attached and detached for each."""

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from benchlib.errors import BenchError
from benchlib.node.blast import CEILING, SOURCE
from lab import command
from lab.plan import Pod
from stoq.capture import nft
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan
from stoq_node import inpods
from stoq_node._kernel import Account, Guard, KernelError, Pins, Splice, Strict

# With which a packet is gone (bpf/include/stoq/shared.h).
DROPPED: Final = frozenset(
    {"malformed", "version", "zero_rtt", "fragment", "denied", "source_rate", "ceiling"}
)

# Seconds for which pods are joined: longer than anything is measured.
HELD: Final = 600


class Programs:
    """What the agent would put in force, without its own work beside the measurement."""

    def __init__(self, pins: Pins) -> None:
        self._guards = {stage: Guard(stage, pins) for stage in ("xdp", "tc")}
        self._strict = Strict(pins)
        self._account = Account(pins)
        self._splice = Splice(pins)

    @contextlib.contextmanager
    def guarding(
        self, namespace: str, device: str, ceiling: tuple[int, int] = CEILING, mode: str = "tc"
    ) -> Iterator[None]:
        """The guard on one device; `mode` is `tc`, `native` or `generic`."""
        guard = self._guards["tc" if mode == "tc" else "xdp"]
        guard.configure(source=SOURCE, ceiling=ceiling)
        index = _inside(namespace, partial(socket.if_nametoindex, device))
        _inside(namespace, partial(guard.attach, index, mode))
        try:
            yield
        finally:
            guard.detach(index)

    @contextlib.contextmanager
    def strict(self, namespace: str, *pods: Pod) -> Iterator[None]:
        """Strict mode both ways and accounts on the links of pods."""
        indices = [_inside(namespace, partial(socket.if_nametoindex, pod.port)) for pod in pods]
        try:
            for index in indices:
                self._strict.enrol(index, inbound="strict", outbound="strict", udp=True, echo=True)
                for program in (self._strict, self._account):
                    _inside(namespace, partial(program.attach, index))
            yield
        finally:
            for index in indices:
                self._strict.detach(index)
                self._account.detach(index)
                self._strict.withdraw(index)

    @contextlib.contextmanager
    def joined(self, namespace: str, client: Pod, server: Pod, port: int) -> Iterator[None]:
        """Both pods captured, and joined at a port of the server by their IPv6 addresses. Raises
        BenchError when nothing went that way.
        """
        index = {
            pod.name: _inside(namespace, partial(socket.if_nametoindex, pod.port))
            for pod in (client, server)
        }
        pair = (
            *(index[client.name], str(client.ipv6)), *(index[server.name], str(server.ipv6)), port
        )  # fmt: skip
        for pod, out, into in (
            (client, [(server.ipv6, port)], []),
            (server, [], [(client.ipv6, port)]),
        ):
            _inside(pod.netns, partial(nft.apply, Plan(splice=True)))
            inpods.program(f"/run/netns/{pod.netns}", out, into, HELD)
        before = self._sent()
        try:
            for one in index.values():
                _inside(namespace, partial(self._splice.attach, one))
            self._splice.join(pair, time.monotonic_ns() + HELD * 1_000_000_000)
            yield
            if self._sent() == before:
                raise BenchError("nothing went from link to link: the figures are not the splice's")
        finally:
            self._splice.part(pair)
            for one in index.values():
                self._splice.detach(one)

    def _sent(self) -> int:
        return sum(size for _, _, size in self._splice.counts())

    def dropped(self) -> int:
        """Packets that the guards have dropped."""
        counts = (count for guard in self._guards.values() for count in guard.counts())
        return sum(packets for verdict, packets, _ in counts if verdict in DROPPED)


@contextlib.contextmanager
def loaded() -> Iterator[Programs]:
    """On a bpffs of their own. Raises BenchError when the kernel refuses."""
    with tempfile.TemporaryDirectory(prefix="bench-bpf-") as folder:
        command.run(["mount", "-t", "bpf", "bpf", folder])
        try:
            yield Programs(Pins(f"{folder}/stoq"))
        except KernelError as error:
            raise BenchError(str(error)) from error
        finally:
            command.run(["umount", folder])


def _inside(namespace: str, call: Callable[[], int | bool]) -> int:
    return run_in(f"/run/netns/{namespace}", call)
