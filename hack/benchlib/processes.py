"""Programs that run beside a measurement: found ready, ended when it is over."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence

from benchlib.network import Network, Side
from lab import command
from lab.process import Process, start

# Each start has a log of its own, however often a candidate runs.
_numbers = itertools.count(1)


@contextlib.contextmanager
def running(network: Network, name: str, argv: Sequence[str]) -> Iterator[Process]:
    """Runs a command, already wrapped for its side, until the block is left."""
    process = start(network.state, f"{name}-{next(_numbers)}", argv)
    try:
        yield process
    finally:
        process.stop()


def listening(side: Side, port: int, process: Process, *, udp: bool = False) -> None:
    """Waits until a port of the side is listened on; raises ProcessError after 15 s."""
    kind = "-Hlun" if udp else "-Hltn"
    look = side.command(["ss", kind, f"sport = :{port}"])
    process.wait_until(f"listening on port {port}", lambda: bool(command.run(look).stdout))
