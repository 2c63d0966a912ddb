"""`stoq-node trace`: reads the flags, watches, prints, ends."""

import argparse
import asyncio
import math
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Final

from stoq.program import together
from stoq.settings.options import SettingsError
from stoq_node.podfile import PodFile
from stoq_node.pods import Pod, Source
from stoq_node.settings import Settings
from stoq_node.trace import layout, machine, namespaces, parts
from stoq_node.trace.bcc import BccError, Program
from stoq_node.trace.btf import LayoutError
from stoq_node.trace.places import Filter
from stoq_node.trace.show import Json, Table
from stoq_node.trace.watch import Watch

FIRST_SECONDS: Final = 2.0
FIRST_LOOKS: Final = 5
"""How long, and how often, the list of pods is waited for while nothing speaks against it."""

TICK_SECONDS: Final = 0.1
"""Between two looks at what happened."""

_ABOUT: Final = """\
Shows, as they begin, the connections of this node's pods that are not in the mesh: which program
has opened them, where they lead, and why they are outside. Every --interval seconds, and at the
end, it shows how long answers took on each connection, in the mesh or not, and which packets the
kernel has dropped and why.

What is seen is the first packet of a connection, TCP or UDP, on a device of the pod other than
loopback. Capture leaves nothing there but STOQ, so what else is there is

  bypass    in the clear, and no setting says so; strict mode would drop it
  allowed   in the clear by a setting of the pod: an excluded port, a name server, a probe
  mesh      STOQ of the sidecar; not shown, but counted

It runs on the node, as root or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, and needs IOVisor's
BCC (Debian: python3-bpfcc), a tracefs and a kernel with BTF. It needs no kernel headers and no
kprobes. It changes nothing, and ends with SIGINT or SIGTERM."""

_EXAMPLES: Final = """\
examples:
  stoq-node trace                                  all pods of this node, until Ctrl-C
  stoq-node trace --pod shop/web-0 --seconds 60    one pod, one minute
  stoq-node trace --netns /proc/4242/ns/net        where process 4242 is, whether or not it is a pod
  stoq-node trace --json | jq 'select(.verdict == "bypass") | {pod, comm, remote, why}'

exit status: 0 when it has watched, 1 when something is missing (it says what, and what mends it),
2 for flags that can not be."""


class TraceError(Exception):
    """There is nothing to watch, or no way to; the text says why and what to do."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "trace",
        help="connections that bypass the mesh, latencies and drops, live",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one object a line, for programs")
    parser.add_argument(
        "--seconds", type=_seconds, default=math.inf, metavar="N", help="how long; default: no end"
    )
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=5.0,
        metavar="N",
        help="seconds between two reports of latencies and drops; default: 5",
    )
    parser.add_argument(
        "--pod",
        action="append",
        default=[],
        metavar="NAMESPACE/NAME",
        help="only this pod; may be repeated",
    )
    parser.add_argument(
        "--netns",
        action="append",
        default=[],
        metavar="NAME",
        help="only this network namespace, by name, path or number; may be repeated",
    )


def run(flags: argparse.Namespace, settings: Settings) -> None:
    """Runs until it is told to end. Raises `TraceError`, and `SettingsError` for flags."""
    wanted = _filter(flags.pod, flags.netns)
    found = machine.look()
    if lacks := parts.missing(found):
        raise TraceError("trace can not run here.\n" + "\n".join(f"  {one}" for one in lacks))
    try:
        asyncio.run(_run(flags, settings, wanted, found))
    except (BccError, LayoutError) as error:
        raise TraceError(str(error)) from error
    except BrokenPipeError:
        # Whoever read it has gone; nothing more can be said, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _run(
    flags: argparse.Namespace, settings: Settings, wanted: Filter, found: parts.Machine
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _source(settings) as source:
        pods = _Pods(source)
        async with together(pods.follow()):
            if not wanted.namespaces:
                await pods.first()
            with closing(_program(found)) as program:
                watch = Watch(program, Json() if flags.json else Table(), wanted, _format(found))
                watch.begin(pods.now, parts.no_latency(found))
                await _until(stop, flags, pods, watch)
                watch.end()


@asynccontextmanager
async def _source(settings: Settings) -> AsyncIterator[Source]:
    """Where the agent has its pods from."""
    if not settings.kubernetes.node:
        yield PodFile(Path(settings.pods.file))
        return
    # Only now: without Kubernetes its client need not be installed.
    from stoq_node.kube import Cluster

    cluster = Cluster(settings.kubernetes)
    try:
        async with together(*cluster.parts()):
            yield cluster.pods
    finally:
        await cluster.close()


async def _until(
    stop: asyncio.Event, flags: argparse.Namespace, pods: "_Pods", watch: Watch
) -> None:
    loop = asyncio.get_running_loop()
    end, report = loop.time() + flags.seconds, loop.time() + flags.interval
    while not stop.is_set() and loop.time() < end:
        watch.tick(pods.now)
        if loop.time() >= report:
            watch.report()
            report = loop.time() + flags.interval
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TICK_SECONDS)


class _Pods:
    """The latest list of a source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read = asyncio.Event()
        self.now: tuple[Pod, ...] = ()

    async def follow(self) -> None:
        async for pods in self._source.watch():
            self.now = pods
            self._read.set()

    async def first(self) -> None:
        """Waits for it: without pods there would be nothing to see."""
        for _ in range(FIRST_LOOKS):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._read.wait(), FIRST_SECONDS)
                return
            if self._source.problem:
                break
        raise TraceError(
            f"no pods are known: {self._source.problem or 'nobody answers'}; name their list in "
            "STOQ_PODS_FILE, this node in STOQ_KUBERNETES_NODE, or a network namespace with --netns"
        )


def _program(found: parts.Machine) -> Program:
    btf, page = Path(parts.BTF).read_bytes(), os.sysconf("SC_PAGE_SIZE")
    latency = not parts.no_latency(found)
    return Program(found.bcc, layout.flags(btf, page, latency=latency))


def _format(found: parts.Machine) -> str:
    path = Path(found.tracefs) / "events/skb/kfree_skb/format"
    return path.read_text(encoding="ascii", errors="replace")


def _filter(pods: list[str], names: list[str]) -> Filter:
    for pod in pods:
        if pod.count("/") != 1 or not all(pod.split("/")):
            raise SettingsError(f"--pod is {pod!r}: must be namespace/name, as in shop/web-0")
    numbers = {}
    for name in names:
        try:
            numbers[namespaces.number(name)] = name
        except OSError as error:
            raise SettingsError(
                f"--netns is {name!r}: {error.strerror}; give a name of 'ip netns list', a path "
                "such as /proc/<pid>/ns/net, or the number that 'lsns -t net' shows"
            ) from error
    return Filter(pods=frozenset(pods), namespaces=numbers)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text}: must be from 0.1 to 1000000 seconds")
    return value
