"""The program in the kernel, by IOVisor's BCC.

BCC is a package of the distribution's own Python, bound to the LLVM it was built with; the one of
that name on PyPI is something else. It is loaded by its path, into this process: no other package
of that Python becomes visible, and what it does with the kernel ends with this process.
"""

import ctypes
import importlib.util
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from stoq_node.trace import records
from stoq_node.trace.records import Drop, Event, Flow, Latency

HERE: Final = Path(__file__).parent

STRICT: Final = ("-Werror=implicit-function-declaration",)
"""A function that is not there would be a call to nowhere, which the kernel refuses in riddles."""

# Indexes of `lost` in trace.bcc.c.
LOST_EVENTS: Final = 0
LOST_DROPS: Final = 1


class BccError(Exception):
    """BCC does not load, or the program does not; the text says what it said."""


class Program:
    """The program, attached while this lives.

    `folder` is BCC's package, `flags` are those of `layout.flags`. Raises `BccError`.
    """

    def __init__(self, folder: str, flags: Iterable[str]) -> None:
        package = _load(folder)
        # In place of the kernel's headers, which few nodes have, and which must not differ from it:
        # what BCC asks of them is in our own folder.
        os.environ["BCC_KERNEL_SOURCE"] = str(HERE)
        text = (HERE / "trace.bcc.c").read_text(encoding="utf-8")
        try:
            self._bpf = package.BPF(text=text, cflags=[*flags, *STRICT])
        except Exception as error:
            raise BccError(
                f"BCC {package.__version__} could not load the program: {error}; what it said "
                "is above"
            ) from error
        self._events: deque[bytes] = deque()
        self._bpf["events"].open_ring_buffer(self._take)

    def close(self) -> None:
        """Detaches all."""
        self._bpf.cleanup()

    def watch(self, places: dict[tuple[int, int], int]) -> None:
        """Watches exactly `places`: (namespace, interface) -> number, interface 0 for all."""
        table = self._bpf["places"]
        there = {(key.netns, key.ifindex): value.value for key, value in table.items()}
        for place in there.keys() - places.keys():
            del table[table.Key(*place)]
        for place, number in places.items():
            if there.get(place) != number:
                table[table.Key(*place)] = table.Leaf(number)

    def events(self) -> Iterator[Event]:
        """What has happened since the last call."""
        self._bpf.ring_buffer_consume()
        while self._events:
            yield records.event(self._events.popleft())

    def latencies(self) -> dict[Flow, Latency]:
        """Of all flows that are remembered."""
        return {
            records.flow(bytes(key)): records.latency(bytes(value))
            for key, value in self._bpf["latencies"].items()
        }

    def drops(self) -> dict[Drop, int]:
        """Packets since the begin."""
        return {records.drop(bytes(key)): value.value for key, value in self._bpf["drops"].items()}

    def lost(self) -> tuple[int, int]:
        """Flows and drops since the begin that there was no room for."""
        table = self._bpf["lost"]
        return table[LOST_EVENTS].value, table[LOST_DROPS].value

    def _take(self, _context: object, data: int, size: int) -> None:
        self._events.append(ctypes.string_at(data, size))


def _load(folder: str) -> Any:
    place = Path(folder)
    spec = importlib.util.spec_from_file_location(
        "bcc", place / "__init__.py", submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise BccError(f"{folder} is no package of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        del sys.modules["bcc"]
        raise BccError(
            f"BCC in {folder} does not load: {error}; "
            "apt-get install -y --reinstall python3-bpfcc libbpfcc"
        ) from error
    return module
