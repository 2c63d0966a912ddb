"""Rows of the first table of docs/traffic-matrix.md on a cluster: of UDP, with all sidecars up."""

from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.capturing import RESTRICTED
from cluster.datagrams import asked, echo
from cluster.mesh import Mesh
from support.matrix import MODES, rows

pytestmark = pytest.mark.timeout(900)


Row = tuple[str, str, str, str]


def _rows() -> list[Row]:
    """Who asks whom, in which mode, and how it ends."""
    return [
        (row["from"], row["to"], mode, row["outcome"])
        for row, mode in rows(0)
        if (row["protocol"], row["sidecars"]) == ("udp", "up")
    ]


@pytest.fixture(scope="module")
def stage(capturing: Mesh) -> Iterator[tuple[Cluster, Cluster]]:
    """In each mode a client on the first node and a server on the second; and two strangers."""
    with capturing.namespace(RESTRICTED) as inside, capturing.namespace(enrolled=False) as outside:
        first, second = inside.nodes()[:2]
        for mode, outbound in MODES.items():
            for name, node in ((f"{mode}-client", first), (mode, second)):
                inside.apply(echo(name, node, inbound=mode, outbound=outbound))
        outside.apply(echo("stranger-client", first), echo("stranger", second))
        outside.ready("stranger", "stranger-client")
        inside.ready(*MODES, *(f"{mode}-client" for mode in MODES))
        yield inside, outside


@pytest.mark.parametrize("row", _rows(), ids="-".join)
def test_row(row: Row, stage: tuple[Cluster, Cluster]) -> None:
    source, destination, mode, outcome = row
    inside, outside = stage
    where, client = (
        (inside, f"{mode}-client") if source == "meshed" else (outside, "stranger-client")
    )
    at, server = {
        "meshed": (inside, mode),
        "itself": (inside, client),
        "unmeshed": (outside, "stranger"),
    }[destination]
    (address, *_) = at.addresses(server)
    if outcome == "refused":
        assert asked(where, client, address, tries=2) == ""
    else:
        # That what goes to another meshed pod is STOQ is the witness's word.
        assert asked(where, client, address) in where.addresses(client)
