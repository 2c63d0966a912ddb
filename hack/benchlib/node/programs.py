"""The kernel programs, loaded once for all measurements, attached and detached for each."""

import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from benchlib.errors import BenchError
from benchlib.node.blast import CEILING, SOURCE
from lab import command
from lab.plan import Pod
from stoq.capture.netns import run_in
from stoq_node._kernel import Account, Guard, KernelError, Pins, Strict

# With which a packet is gone (bpf/include/stoq/shared.h).
DROPPED: Final = frozenset(
    {"malformed", "version", "zero_rtt", "fragment", "denied", "source_rate", "ceiling"}
)


class Programs:
    """What the agent would put in force, without its own work beside the measurement."""

    def __init__(self, pins: Pins) -> None:
        self._guards = {"generic": Guard("xdp", pins), "tc": Guard("tc", pins)}
        self._strict = Strict(pins)
        self._account = Account(pins)

    @contextlib.contextmanager
    def guarding(
        self, namespace: str, device: str, ceiling: tuple[int, int] = CEILING, mode: str = "tc"
    ) -> Iterator[None]:
        """The guard on one device; `mode` is `tc` or `generic`."""
        guard = self._guards[mode]
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
