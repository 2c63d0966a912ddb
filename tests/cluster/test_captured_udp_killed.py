"""Rows of the first table of docs/traffic-matrix.md on a cluster: of UDP, with a sidecar killed."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from cluster.access import Cluster
from cluster.capturing import RESTRICTED
from cluster.datagrams import answer, asked, echo, question
from cluster.mesh import Mesh, eventually
from cluster.processes import Container, no_kubelet
from support.matrix import MODES, rows

pytestmark = pytest.mark.timeout(900)

BACK_SECONDS = 180.0
"""From the kubelet's return to the first answer by the sidecars that it starts again."""


@dataclass(frozen=True)
class Row:
    """One row, in one mode."""

    source: str
    destination: str
    mode: str
    killed: str
    outcome: str


def _rows() -> list[Row]:
    return [
        Row(row["from"], row["to"], mode, row["sidecars"].split()[0], row["outcome"])
        for row, mode in rows(0)
        if row["protocol"] == "udp" and row["sidecars"] != "up"
    ]


class Stage:
    """In each mode a pod whose sidecar is dead, on the second node, where nobody starts it again,
    and one whose sidecar lives, on the first; and a stranger.
    """

    def __init__(self, inside: Cluster, outside: Cluster) -> None:
        self.inside, self.outside = inside, outside
        first, self.second = inside.nodes()[:2]
        for mode, outbound in MODES.items():
            for name, node in ((mode, first), (f"{mode}-dead", self.second)):
                inside.apply(echo(name, node, inbound=mode, outbound=outbound))
        outside.apply(echo("stranger", first))
        outside.ready("stranger")
        inside.ready(*MODES, *(f"{mode}-dead" for mode in MODES))
        self._clients = {mode: Container(inside, f"{mode}-dead") for mode in MODES}

    def everything_answers(self) -> bool:
        """What is refused without their sidecars is not with them."""
        dead, stranger = self._address("permissive-dead"), self.outside.addresses("stranger")[0]
        return all(
            (
                *(asked(self.inside, m, self._address(f"{m}-dead"), tries=2) for m in MODES),
                *(asked(self.inside, f"{m}-dead", self._address(m), tries=2) for m in MODES),
                asked(self.outside, "stranger", dead, tries=2),
                asked(self.inside, "permissive-dead", stranger, tries=2),
            )
        )

    def kill(self) -> None:
        for mode in MODES:
            Container(self.inside, f"{mode}-dead", "stoq-sidecar").kill()

    def ask(self, row: Row) -> str:
        if row.killed == "client":
            meshed = row.destination == "meshed"
            host = self._address(row.mode) if meshed else self.outside.addresses("stranger")[0]
            return answer(lambda: self._clients[row.mode].execute(*question(host, tries=2)))
        host = self._address(f"{row.mode}-dead")
        if row.source == "meshed":
            return asked(self.inside, row.mode, host, tries=2)
        return asked(self.outside, "stranger", host, tries=2)

    def _address(self, pod: str) -> str:
        return self.inside.addresses(pod)[0]


@pytest.fixture(scope="module")
def stage(capturing: Mesh) -> Iterator[Stage]:
    with ExitStack() as stack:
        inside = stack.enter_context(capturing.namespace(RESTRICTED))
        made = Stage(inside, stack.enter_context(capturing.namespace(enrolled=False)))
        eventually(made.everything_answers)
        with no_kubelet(inside, made.second):
            made.kill()
            yield made
        # Dead on their own node, they are started again there, and all is as before.
        eventually(made.everything_answers, BACK_SECONDS)


@pytest.mark.parametrize("row", _rows(), ids=lambda row: "-".join(vars(row).values()))
def test_row(row: Row, stage: Stage) -> None:
    assert row.outcome == "refused"
    # That nothing of it crosses in the clear between meshed pods is the witness's word.
    assert stage.ask(row) == ""
