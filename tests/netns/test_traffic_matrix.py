"""Every row of the first table of docs/traffic-matrix.md, as it says."""

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from signal import SIGKILL

import pytest

from lab import apps, netns, plan, process, sniff
from lab.command import CommandError
from lab.mesh import Mesh, MeshSettings
from lab.plan import Pod
from lab.state import State
from support.matrix import MODES, rows

PAYLOAD = "the payload of a row of the traffic matrix"
PROBE_PORT = 8081
UDP_PORT = 9000


@dataclass(frozen=True)
class Row:
    """One row, in one mode."""

    source: str
    destination: str
    protocol: str
    port: str
    inbound: str
    sidecars: str
    outcome: str


def _rows() -> list[Row]:
    found = [
        Row(
            row["from"],
            row["to"],
            row["protocol"],
            row["port"],
            mode,
            row["sidecars"],
            row["outcome"],
        )
        for row, mode in rows(0)
    ]
    # One mesh per mode: the rows of a mode stand together.
    return sorted(found, key=lambda row: row.inbound)


class Bench:
    """A mesh in one mode, two bystanders, and listeners everywhere."""

    def __init__(self, inbound: str, capture: str) -> None:
        names = ["server", "client", "control", "outside-a", "outside-b"]
        self.layout = plan.make(plan.new_run_id("t"), names)
        self.state = State.create(self.layout.run, "test")
        self.outside = (self.layout.pod("outside-a"), self.layout.pod("outside-b"))
        self.server, self.client = self.layout.pod("server"), self.layout.pod("client")
        self.inbound, self.capture = inbound, capture

    def start(self) -> None:
        netns.build(self.layout, self.state)
        settings = MeshSettings(
            inbound=self.inbound,
            capture=self.capture,
            outbound=MODES[self.inbound],
            exempt_sources=(f"{self.layout.gateway6}/128",),
            probe_ports=(PROBE_PORT,),
        )
        self.mesh = Mesh(self.state, self.layout.pod("control"), settings)
        for pod in (self.server, self.client):
            self.mesh.enrol(pod)
        self.mesh.start_control()
        for pod in (self.server, self.client):
            self.mesh.start_sidecar(pod)
        self.mesh.wait_ready([self.server, self.client])
        files = self.state.folder / "files"
        files.mkdir()
        (files / "row").write_text(PAYLOAD)
        for pod in (self.server, self.outside[1], self.client):
            apps.nginx(self.state, pod, files, ports=(apps.HTTP_PORT, PROBE_PORT))
        alone = ["-u", "-m", "http.server", "--bind", "::1", "--directory", str(files)]
        loopback = process.start(
            self.state,
            "loopback",
            ["/usr/bin/python3", *alone, str(apps.HTTP_PORT)],
            netns=self.client.netns,
        )
        loopback.wait_until("listening", lambda: "Serving HTTP" in loopback.tail())
        echo = (
            "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
            f"s.bind(('::', {UDP_PORT}))\nprint('bound', flush=True)\n"
            "while True:\n    data, peer = s.recvfrom(2000)\n    s.sendto(data, peer)\n"
        )
        for pod in (self.server, self.outside[1], self.client):
            name = f"udp-{pod.name}"
            words = ["/usr/bin/python3", "-c", echo]
            echoing = process.start(self.state, name, words, netns=pod.netns)
            echoing.wait_until("listening", partial(_bound, echoing))

    def place(self, name: str, *, source: bool) -> tuple[str, str]:
        """Namespace and address of a column's word."""
        if name == "node":
            return self.layout.fabric, str(self.layout.gateway6)
        if name == "loopback":
            return self.client.netns, "::1"
        pod = {
            ("meshed", True): self.client,
            ("meshed", False): self.server,
            ("itself", False): self.client,
            ("control", False): self.mesh.control_pod,
            ("unmeshed", True): self.outside[0],
            ("unmeshed", False): self.outside[1],
        }[name, source]
        return pod.netns, str(pod.ipv6)

    def killed(self, who: str) -> Pod | None:
        return {"server killed": self.server, "client killed": self.client}.get(who)

    def restart(self, pod: Pod) -> None:
        self.mesh.start_sidecar(pod)
        self.mesh.wait_ready([pod])


@pytest.fixture(scope="module")
def benches() -> Iterator[Callable[[Row], Bench]]:
    made: dict[tuple[str, str], Bench] = {}
    states: list[State] = []

    def bench(row: Row) -> Bench:
        # UDP takes a broker. Everything else is tested without.
        kind = (row.inbound, "node" if row.protocol == "udp" else "init")
        if kind not in made:
            one = Bench(*kind)
            states.append(one.state)
            one.start()
            made[kind] = one
        return made[kind]

    yield bench
    for state in states:
        state.remove()


def _bound(echoing: process.Process) -> bool:
    return "bound" in echoing.tail()


def _ask(row: Row, bench: Bench) -> bool:
    """Does what the row says; whether the answer came."""
    source, _ = bench.place(row.source, source=True)
    _, address = bench.place(row.destination, source=False)
    port = {"app": apps.HTTP_PORT, "probe": PROBE_PORT, "": 0}.get(row.port) or row.port
    path = "metrics" if port == "14020" else "row"
    refused = row.outcome == "refused"
    # The first datagram waits for a handshake, which takes its time on a busy machine.
    patience = 2 if refused else 20
    udp = (
        "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
        f"s.settimeout({patience})\n"
        f"s.sendto({PAYLOAD!r}.encode(), ('{address}', {UDP_PORT}))\nprint(s.recv(2000).decode())"
    )
    command = {
        "tcp": [
            "curl",
            "-sf",
            "--max-time",
            "5" if refused else "20",
            f"http://[{address}]:{port}/{path}",
        ],
        "udp": ["/usr/bin/python3", "-c", udp],
        "icmp": ["ping", "-6", "-c", "1", "-W", "2", address],
    }[row.protocol]
    try:
        answer = netns.run_in(source, command, timeout=30)
    except CommandError:
        return False
    return path == "metrics" or row.protocol == "icmp" or PAYLOAD in answer


@pytest.mark.parametrize("row", _rows(), ids=lambda row: "-".join(vars(row).values()))
def test_row(row: Row, benches: Callable[[Row], Bench]) -> None:
    bench = benches(row)
    pod = bench.killed(row.sidecars)
    if pod is not None:
        bench.mesh.sidecars[pod.name].stop(number=SIGKILL)
    whole = sniff.Capture.start(
        bench.state, "row", bench.layout.fabric, expression="tcp or udp", snapshot=sniff.WHOLE
    )
    try:
        arrived = _ask(row, bench)
        assert whole.stop() == 0, "the witness missed packets"
        seen = list(sniff.packets(whole.file))
    finally:
        if pod is not None:
            bench.restart(pod)

    found, _ = sniff.find_marker(seen, PAYLOAD.encode(), frozenset())
    asked = row.protocol == "tcp" and any(b"GET /row" in packet.payload for _, packet in seen)
    assert arrived == (row.outcome != "refused")
    if row.outcome != "plaintext":
        # A UDP request has the payload too; whoever has no sidecar sends it as it is.
        unasked = row.protocol != "udp" or row.source == "meshed"
        assert not unasked or found == 0, "the payload crossed in the clear"
        if row.source == "meshed":
            assert not asked, "the request crossed in the clear"
    elif _crosses_readable(row):
        assert found > 0, "it says plaintext, and there was none"


def _crosses_readable(row: Row) -> bool:
    """Whether the payload of a plaintext row passes where the witness takes packets in."""
    on_the_wire = row.source != "node" and row.destination not in ("itself", "loopback")
    return on_the_wire and row.protocol != "icmp" and row.port != "14020"


def test_every_kind_of_row_is_in_the_document() -> None:
    rows = _rows()

    assert {row.outcome for row in rows} == {"stoq", "plaintext", "refused"}
    assert {row.protocol for row in rows} == {"tcp", "udp", "icmp"}
    assert shutil.which("ping")
    assert socket.has_ipv6
