"""Every row of the second table of docs/traffic-matrix.md, as it says."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cluster.access import Cluster, Failed, url
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, service, serving
from support.matrix import MODES, rows

pytestmark = pytest.mark.timeout(600)

PORTS = {"app": 8080, "probe": 8081, "excluded": 8082, "14020": 14020}
NODE_PORT = 18080
"""Where a program in the node's network listens."""

API_SERVER_SAYS = "HTTP request to an HTTPS server"


@dataclass(frozen=True)
class Row:
    """One row, in one mode."""

    source: str
    destination: str
    by: str
    port: str
    mode: str
    outcome: str


def _rows() -> list[Row]:
    return [
        Row(row["from"], row["to"], row["by"], row["port"], mode, row["outcome"])
        for row, mode in rows(1)
    ]


def in_mode(made: dict[str, Any], mode: str) -> dict[str, Any]:
    made["metadata"]["annotations"] = {
        "stoq.dev/inbound": mode,
        "stoq.dev/outbound": MODES[mode],
        "stoq.dev/exclude-inbound-ports": str(PORTS["excluded"]),
    }
    return made


class Stage:
    """In each mode a client on the first node and a server on the second; and strangers."""

    def __init__(self, inside: Cluster, outside: Cluster) -> None:
        self.inside, self.outside = inside, outside
        self.nodes = inside.nodes()[:2]

    def set(self) -> None:
        first, second = self.nodes
        both = [{"name": name, "port": PORTS[name]} for name in ("app", "excluded")]
        for mode in MODES:
            server = serving(mode, PORTS["app"], PORTS["probe"], PORTS["excluded"], node=second)
            server["spec"]["containers"][0]["readinessProbe"] = {
                "httpGet": {"path": "/", "port": PORTS["probe"]},
                "periodSeconds": 1,
            }
            self.inside.apply(
                in_mode(server, mode),
                in_mode(pod(f"{mode}-client", WAIT, first), mode),
                service(mode, type="NodePort", ports=both),
            )
        self.outside.apply(
            serving("stranger", PORTS["app"], node=first),
            service("stranger"),
            serving("node", NODE_PORT, node=second, hostNetwork=True),
        )
        self.outside.ready("stranger", "node")
        self.inside.ready(*MODES, *(f"{mode}-client" for mode in MODES))

    def caller(self, row: Row) -> tuple[Cluster, str]:
        """The pod that asks."""
        if row.source == "meshed":
            return self.inside, f"{row.mode}-client"
        return self.outside, {"unmeshed": "stranger", "node": "node"}[row.source]

    def target(self, row: Row) -> str:
        """Whom it asks, as a URL."""
        if row.destination == "node":
            return url(self.node_address(1), NODE_PORT)
        where, name = (
            (self.outside, "stranger") if row.destination == "unmeshed" else (self.inside, row.mode)
        )
        if row.by == "address":
            return url(where.addresses(name)[0], PORTS[row.port])
        found = where.get("service", name)["spec"]
        port = next(one for one in found["ports"] if one.get("name", "app") == row.port)
        if row.by == "NodePort":
            return url(self.node_address(0), port["nodePort"])
        return url(found["clusterIP"], port["port"])

    def node_address(self, number: int) -> str:
        """Where a node is reached."""
        node = self.inside.get("node", self.nodes[number])
        return next(
            str(one["address"])
            for one in node["status"]["addresses"]
            if one["type"] == "InternalIP"
        )

    def api_server(self, row: Row) -> str:
        """What the server of the row's mode answers the API server."""
        page = "metrics" if row.port == "14020" else ""
        path = f"/api/v1/namespaces/{self.inside.namespace}/pods/{row.mode}:{PORTS[row.port]}"
        return self.inside.kubectl("get", "--raw", f"{path}/proxy/{page}", "--request-timeout=4s")

    def asks_api_server(self, row: Row) -> str:
        """busybox has no TLS that the API server accepts, which says so in plain HTTP."""
        where, client = self.caller(row)
        address = where.get("service", "kubernetes", "--namespace", "default")["spec"]["clusterIP"]
        ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 4 nc {address} 443"
        return where.execute(client, "sh", "-c", ask)

    def asks_name_server(self, row: Row) -> str:
        where, client = self.caller(row)
        return where.execute(
            client, "nslookup", f"stranger.{self.outside.namespace}.svc.cluster.local"
        )

    def asks(self, row: Row) -> str:
        """One request, without a second try."""
        where, client = self.caller(row)
        return where.execute(client, "timeout", "4", "wget", "-qO-", self.target(row))


@pytest.fixture(scope="module")
def stage(mesh: Mesh) -> Iterator[Stage]:
    with mesh.namespace() as inside, mesh.namespace(enrolled=False) as outside:
        made = Stage(inside, outside)
        made.set()
        yield made


def _answered(row: Row, stage: Stage) -> bool:
    """Whether the answer came that only the row's destination gives."""
    if row.source == "API server":
        wanted = "stoq_" if row.port == "14020" else row.mode
        return wanted in stage.api_server(row)
    if row.destination == "API server":
        return API_SERVER_SAYS in stage.asks_api_server(row)
    if row.destination == "DNS":
        return stage.outside.get("service", "stranger")["spec"]["clusterIP"] in (
            stage.asks_name_server(row)
        )
    wanted = {"meshed": row.mode, "unmeshed": "stranger", "node": "node"}[row.destination]
    return stage.asks(row).strip() == wanted


def _arrives(row: Row, stage: Stage) -> bool:
    try:
        return _answered(row, stage)
    except Failed:
        return False


def _probed(row: Row, stage: Stage) -> bool:
    """Whether the kubelet has found the server ready, by nothing but its probe."""
    conditions = stage.inside.get("pod", row.mode)["status"]["conditions"]
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


@pytest.mark.parametrize("row", _rows(), ids=lambda row: "-".join(vars(row).values()))
def test_row(row: Row, stage: Stage) -> None:
    if row.source == "kubelet":
        assert _probed(row, stage) == (row.outcome != "refused")
    elif row.outcome == "refused":
        assert not _arrives(row, stage)
    else:
        # That nothing crosses in the clear from one meshed pod to another is the witness's word.
        assert eventually(lambda: _arrives(row, stage))
