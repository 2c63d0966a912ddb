"""Rows of the first table of docs/traffic-matrix.md on a cluster: of ICMP, and of sidecars that are
killed. UDP is captured in another mode: test_captured_udp_killed.py.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from cluster.access import Cluster, Failed, hack_cluster, url
from cluster.mesh import Mesh, eventually, rolled_out
from cluster.pods import serving
from cluster.processes import Container, no_kubelet
from support.matrix import MODES, rows

pytestmark = pytest.mark.timeout(600)

PORTS = {"app": 8080, "probe": 8081, "14020": 14020}

BACK_SECONDS = 180.0
"""From the kubelet's return to the first answer by the sidecars that it starts again."""


@dataclass(frozen=True)
class Row:
    """One row, in one mode."""

    source: str
    destination: str
    protocol: str
    port: str
    mode: str
    killed: str
    outcome: str


def _rows() -> list[Row]:
    return [
        Row(
            row["from"],
            row["to"],
            row["protocol"],
            row["port"],
            mode,
            row["sidecars"].removesuffix("killed").strip(),
            row["outcome"],
        )
        for row, mode in rows(0)
        if row["protocol"] == "icmp" or (row["protocol"] == "tcp" and row["sidecars"] != "up")
        # Here they go past the sidecar: a test of its own.
        if row["port"] != "probe"
    ]


class Stage:
    """In each mode a pod whose sidecar is dead, on the second node, where nobody starts it again,
    and one whose sidecar lives, on the first; and a stranger.
    """

    def __init__(self, inside: Cluster, outside: Cluster) -> None:
        self.inside, self.outside = inside, outside
        self.first, self.second = inside.nodes()[:2]

    def set(self) -> None:
        for mode, outbound in MODES.items():
            for name, node in ((mode, self.first), (f"{mode}-dead", self.second)):
                made = serving(name, PORTS["app"], PORTS["probe"], node=node)
                made["metadata"]["annotations"] = {
                    "stoq.dev/inbound": mode,
                    "stoq.dev/outbound": outbound,
                }
                made["spec"]["containers"][0]["readinessProbe"] = {
                    "httpGet": {"path": "/", "port": PORTS["probe"]},
                    "periodSeconds": 1,
                }
                self.inside.apply(made)
        self.outside.apply(serving("stranger", PORTS["app"], node=self.first))
        self.outside.ready("stranger")
        self.inside.ready(*MODES, *(f"{mode}-dead" for mode in MODES))
        assert self.everything_answers()
        self._alive = {mode: Container(self.inside, mode) for mode in MODES}
        self._dead = {mode: Container(self.inside, f"{mode}-dead") for mode in MODES}
        self._sidecars = [Container(self.inside, f"{mode}-dead", "stoq-sidecar") for mode in MODES]

    def everything_answers(self) -> bool:
        """What is refused without their sidecars is not with them."""
        alike = [
            (self.inside.fetch(source, url(address)), destination)
            for mode in MODES
            for source, destination in ((mode, f"{mode}-dead"), (f"{mode}-dead", mode))
            for address in self.inside.addresses(destination)
        ]
        for address in self.inside.addresses("permissive-dead"):
            alike.append((self.outside.fetch("stranger", url(address)), "permissive-dead"))
        return all(answer == name for answer, name in alike)

    def kill(self) -> None:
        for each in self._sidecars:
            each.kill()

    def ask(self, row: Row) -> str:
        """One request, without a second try."""
        address = self.address(row)
        if row.protocol == "icmp":
            ping = ("ping", "-c", "1", "-W", "3", address)
            return (
                self.on_node(self.first, *ping)
                if row.source == "node"
                else self._alive[row.mode].beside(*ping)
            )
        target = url(address, PORTS[row.port]) + ("metrics" if row.port == "14020" else "")
        if row.source == "node":
            return self.on_node(self.second, "curl", "-sf", "--noproxy", "*", "-m", "4", target)
        ask = ("timeout", "4", "wget", "-qO-", target)
        if row.killed == "client":
            return self._dead[row.mode].execute(*ask)
        if row.source == "unmeshed":
            return self.outside.execute("stranger", *ask)
        return self.inside.execute(row.mode, *ask)

    def address(self, row: Row) -> str:
        """Of whom it asks."""
        if row.destination == "loopback":
            return "::1"
        if row.destination == "unmeshed":
            return self.outside.addresses("stranger")[0]
        if row.destination == "itself" or row.killed == "server":
            return self.inside.addresses(f"{row.mode}-dead")[0]
        # The pod whose sidecar lives, unless it is the one that asks.
        asks_itself = row.source == "meshed" and row.killed == "up"
        other = next(mode for mode in MODES if mode != row.mode)
        return self.inside.addresses(other if asks_itself else row.mode)[0]

    def on_node(self, node: str, *command: str) -> str:
        return hack_cluster("enter", "--name", self.inside.name, node, *command)


@pytest.fixture(scope="module")
def stage(mesh: Mesh) -> Iterator[Stage]:
    with ExitStack() as stack:
        inside = stack.enter_context(mesh.namespace())
        made = Stage(inside, stack.enter_context(mesh.namespace(enrolled=False)))
        made.set()
        with no_kubelet(inside, made.second):
            made.kill()
            yield made
        # Dead on their own node, they are started again there, and all is as before.
        eventually(made.everything_answers, BACK_SECONDS)
        rolled_out(mesh.system, "stoq-operator")


@pytest.mark.parametrize("row", _rows(), ids=lambda row: "-".join(vars(row).values()))
def test_row(row: Row, stage: Stage) -> None:
    def arrives() -> bool:
        return bool(_answer(stage, row))

    if row.outcome == "refused":
        assert not arrives()
    else:
        # That none of it crosses in the clear to another meshed pod is the witness's word.
        assert eventually(arrives)


@pytest.mark.parametrize("mode", MODES)
def test_a_probe_from_the_pods_node_meets_the_application_without_its_sidecar(
    mode: str, stage: Stage
) -> None:
    row = Row("node", "meshed", "tcp", "probe", mode, "server", "plaintext")
    assert eventually(lambda: _answer(stage, row)).strip() == f"{mode}-dead"


def _answer(stage: Stage, row: Row) -> str:
    try:
        return stage.ask(row)
    except Failed:
        return ""
