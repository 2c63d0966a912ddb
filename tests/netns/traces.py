"""Traces that run, and what they have said."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from signal import SIGINT, Signals
from typing import Any

from lab import command, plan
from lab.node import Node
from lab.state import State
from netns.meshes import eventually
from support.patience import PATIENCE

TRACEFS = "[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; "


def words(script: str, node: plan.Plan, arguments: Sequence[str]) -> list[str]:
    """A trace on the node, after `script` has changed the mounts that it sees."""
    return [
        *("nsenter", f"--net=/run/netns/{node.fabric}", "unshare", "--mount", "--"),
        *("sh", "-ec", f'{script} exec "$@"', "sh"),
        *(sys.executable, "-m", "stoq_node", "trace", *arguments),
    ]


class Trace:
    """One that runs, and what it has said."""

    def __init__(
        self,
        layout: plan.Plan,
        node: Node,
        state: State,
        arguments: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.path = state.folder / "trace.out"
        with self.path.open("wb") as out, self.path.with_suffix(".err").open("wb") as errors:
            self._child = subprocess.Popen(
                words(TRACEFS, layout, arguments),
                env={**command.inherited(), **node.environment(), **environment},
                stdout=out,
                stderr=errors,
            )

    def text(self) -> str:
        return self.path.read_text()

    def said(self, kind: str, **values: object) -> list[dict[str, Any]]:
        """The whole lines of this kind with these values."""
        found = [json.loads(line) for line in self.text().split("\n")[:-1]]
        return [one for one in found if one["kind"] == kind and values.items() <= one.items()]

    def watching(self, what: str) -> None:
        assert eventually(lambda: what in self.text() or self._child.poll() is not None)
        assert self._child.poll() is None, self.path.with_suffix(".err").read_text()

    def signal(self, number: Signals) -> None:
        self._child.send_signal(number)

    def end(self, number: Signals = SIGINT) -> int:
        if self._child.poll() is None:
            self._child.send_signal(number)
        try:
            return self._child.wait(PATIENCE)
        finally:
            self._child.kill()


@contextmanager
def tracing(
    layout: plan.Plan, node: Node, state: State, *arguments: str, **environment: str
) -> Iterator[Trace]:
    """One that sees, with these flags and settings."""
    trace = Trace(layout, node, state, arguments, environment)
    try:
        trace.watching('"begin"' if "--json" in arguments else "VERDICT")
        yield trace
    finally:
        trace.end()


def eventually_one(trace: Trace, kind: str, **values: object) -> list[dict[str, Any]]:
    eventually(lambda: bool(trace.said(kind, **values)), 30)
    found = trace.said(kind, **values)
    assert found, trace.text()
    return found[:1]
