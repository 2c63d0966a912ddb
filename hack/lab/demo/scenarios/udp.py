"""Programs that speak UDP, unchanged: dig with a name server in another pod, and iperf3 -u."""

from dataclasses import dataclass
from typing import Any, Final

from lab import apps, netns, process
from lab.demo import traffic
from lab.demo.report import Check, Table, size
from lab.demo.scenario import Scenario
from lab.demo.stage import Stage
from lab.mesh import MeshSettings
from lab.plan import Pod

DNS_PORT: Final = 5300

NAME: Final = "web.example.test"
ADDRESS: Final = "2001:db8::1"

_UNBOUND: Final = """\
server:
  interface: {address}@{port}
  access-control: ::/0 allow
  chroot: ""
  username: ""
  pidfile: ""
  directory: "{folder}"
  use-syslog: no
  log-queries: yes
  num-threads: 1
  local-zone: "." static
  local-data: ". 3600 IN SOA a.test. b.test. 1 2 3 4 5"
  local-data: "{name}. 77 IN AAAA {answer}"
  local-data: '{name}. 77 IN TXT "{text}"'
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What iperf3 is asked to send."""

    datagram: int
    """Bytes of each."""
    rate: str
    """Bits per second, as iperf3 reads them."""
    seconds: int


LOADS: Final = (Load(1200, "8M", 2), Load(8000, "8M", 2))
"""One that fits into a packet of the wire, and one that does not."""

LOST_PERCENT: Final = 10.0
"""How much may be lost on a busy machine. Nothing is, where there is a CPU for everybody."""

SENT: Final = "stoq_captured_udp_sent_datagrams_total"
STREAMED: Final = "stoq_captured_udp_streamed_datagrams_total"


def play(stage: Stage) -> None:
    """Everything, in the order in which it happens."""
    client, server = stage.pod("client"), stage.pod("server")
    stage.build()
    settings = MeshSettings(capture="node", inbound="strict", outbound="meshOnly")
    mesh = stage.start_mesh([server, client], settings)
    stage.progress("starting unbound and iperf3 in the server's pod")
    _names(stage, client, server)
    _loads(stage, client, server)
    stage.search()
    stage.count()
    counted = mesh.counted(client, "stoq_captured_udp_")
    stage.check(carried_check(counted[SENT], counted[STREAMED]))
    stage.evidence(mesh, [server, client])
    stage.hints += [
        f"ip netns exec {client.netns} {' '.join(_dig(server, 'AAAA'))}",
        f"ip netns exec {client.netns} iperf3 -u -b 50M -c {server.ipv6}",
    ]


def _names(stage: Stage, client: Pod, server: Pod) -> None:
    file = stage.state.folder / "unbound.conf"
    file.write_text(
        _UNBOUND.format(
            address=server.ipv6,
            port=DNS_PORT,
            folder=stage.state.folder,
            name=NAME,
            answer=ADDRESS,
            text=stage.marker,
        )
    )
    argv = ["unbound", "-d", "-c", str(file)]
    unbound = process.start(stage.state, "unbound", argv, netns=server.netns)
    unbound.wait_until("started", lambda: "start of service" in unbound.tail())
    for kind, wanted in (("AAAA", ADDRESS), ("TXT", f'"{stage.marker}"')):

        def ask(kind: str = kind, wanted: str = wanted) -> str:
            answer = netns.run_in(client.netns, _dig(server, kind)).strip()
            if answer != wanted:
                raise ValueError(f"the answer was {answer!r}, expected {wanted!r}")
            return f"{NAME} {kind} {wanted}"

        stage.check(traffic.attempt(f"dig, {kind}", ask))
    stage.check(source_check(unbound.tail(), str(client.ipv6)))


def _dig(server: Pod, kind: str) -> list[str]:
    return ["dig", f"@{server.ipv6}", "-p", str(DNS_PORT), "+short", "+tries=2", kind, NAME]


def source_check(log: str, client: str) -> Check:
    """The name server has seen the client's own address, by its log of queries."""
    asked = [line.split()[-4] for line in log.splitlines() if line.endswith(" IN")]
    detail = f"the name server was asked {len(asked)} times, by {', '.join(sorted(set(asked)))}"
    return Check("source address", bool(asked) and set(asked) == {client}, detail)


def _loads(stage: Stage, client: Pod, server: Pod) -> None:
    apps.iperf_server(stage.state, server)
    rows = []
    for load in LOADS:
        wanted = ("-u", "-b", load.rate, "-l", str(load.datagram))
        told = apps.iperf_end(client, server, load.seconds, *wanted)["sum"]
        stage.check(load_check(load, told))
        rows.append(load_row(load, told))
    columns = ("iperf3 -u", "sent", "lost", "rate", "jitter")
    stage.tables.append(Table("Datagrams from the client to the server", columns, rows))


def load_check(load: Load, told: dict[str, Any]) -> Check:
    """iperf3's own account of what arrived."""
    lost, sent = int(told["lost_packets"]), int(told["packets"])
    ok = sent > 0 and 100 * lost <= LOST_PERCENT * sent
    return Check(f"iperf3 -u, {size(load.datagram)}", ok, f"{lost} of {sent} datagrams lost")


def load_row(load: Load, told: dict[str, Any]) -> list[str]:
    """The same for the table."""
    rate = float(told["bits_per_second"]) / 1e6
    counts = [f"{told['packets']}", f"{told['lost_packets']}"]
    return [size(load.datagram), *counts, f"{rate:.1f} Mbit/s", f"{told['jitter_ms']:.2f} ms"]


def carried_check(sent: float, streamed: float) -> Check:
    """The client's sidecar has sent the datagrams on, those that are too large on a stream."""
    detail = f"{sent:.0f} datagrams of programs, {streamed:.0f} of them on a stream for their size"
    return Check("captured UDP", 0 < streamed < sent, detail)


SCENARIO: Final = Scenario(
    summary="dig and iperf3 -u, unchanged, over captured UDP",
    pods=("client", "server", "control"),
    play=play,
    programs=("dig", "iperf3", "ss", "unbound"),
)
