"""Programs that speak UDP, unchanged, between meshed pods in capture mode `node`."""

import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from lab import apps, netns, process
from lab.command import CommandError
from lab.mesh import MeshSettings
from netns.datagrams import udp
from netns.meshes import Running, eventually, running

UNBOUND = """\
server:
  interface: {ipv6}@5300
  access-control: ::/0 allow
  chroot: ""
  username: ""
  pidfile: ""
  directory: "{folder}"
  use-syslog: no
  num-threads: 1
  local-zone: "." static
  local-data: ". 3600 IN SOA a.test. b.test. 1 2 3 4 5"
  local-data: "web.example.test. 77 IN AAAA 2001:db8::1"
"""

QUIC_CLIENT = """\
import asyncio, ssl, sys
from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration

async def main():
    settings = QuicConfiguration(is_client=True, alpn_protocols=["echo"], verify_mode=ssl.CERT_NONE)
    async with connect(sys.argv[1], int(sys.argv[2]), configuration=settings) as client:
        reader, writer = await client.create_stream()
        writer.write(b"x" * 300_000)
        writer.write_eof()
        print(len(await reader.read()))

asyncio.run(asyncio.wait_for(main(), 60))
"""

QUIC_SERVER = """\
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.quic.configuration import QuicConfiguration

async def echo(reader, writer):
    writer.write(await reader.read())
    writer.write_eof()

async def main():
    settings = QuicConfiguration(is_client=False, alpn_protocols=["echo"])
    settings.load_cert_chain(sys.argv[3], sys.argv[4])
    taken = lambda *streams: asyncio.ensure_future(echo(*streams))
    await serve(sys.argv[1], int(sys.argv[2]), configuration=settings, stream_handler=taken)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    settings = MeshSettings(capture="node", inbound="strict", outbound="meshOnly")
    with running("client", "server", settings=settings) as made:
        yield made


def test_dig_asks_a_name_server_in_another_pod(mesh: Running) -> None:
    server = mesh.pod("server")
    file = mesh.state.folder / "unbound.conf"
    file.write_text(UNBOUND.format(ipv6=server.ipv6, folder=mesh.state.folder))
    process.start(mesh.state, "unbound", ["unbound", "-d", "-c", str(file)], netns=server.netns)
    # dig takes an answer only from where it asked.
    argv = ["dig", f"@{server.ipv6}", "-p", "5300", "+short", "+time=5", "+tries=1"]

    def answer() -> str:
        # The name server may not be there yet, and dig give up.
        with suppress(CommandError):
            return netns.run_in(mesh.pod("client").netns, [*argv, "AAAA", "web.example.test"])
        return ""

    assert eventually(lambda: answer() == "2001:db8::1\n")


@pytest.mark.alone
def test_iperf3_loses_little_at_a_modest_rate(mesh: Running) -> None:
    server = mesh.pod("server")
    apps.iperf_server(mesh.state, server)
    modest = ("-u", "-b", "8M", "-l", "1200")

    def little() -> bool:
        total = apps.iperf_end(mesh.pod("client"), server, 3, *modest)["sum"]
        assert total["packets"] > 2000
        lost.append(total["lost_percent"])
        return lost[-1] < 5

    # Who has no CPU for a moment loses what came meanwhile.
    lost: list[float] = []
    assert eventually(little), lost


def test_a_program_speaks_quic_through_the_mesh(mesh: Running) -> None:
    server = mesh.pod("server")
    key, certificate = (mesh.state.folder / name for name in ("quic.key", "quic.pem"))
    made = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=quic"]
    netns.run_in(server.netns, [*made, "-keyout", str(key), "-out", str(certificate)])
    where = [str(server.ipv6), "4433"]
    argv = [sys.executable, "-c", QUIC_SERVER, *where, str(certificate), str(key)]
    process.start(mesh.state, "quic", argv, netns=server.netns)

    def echoed() -> bool:
        argv = [sys.executable, "-c", QUIC_CLIENT, *where]
        return netns.run_in(mesh.pod("client").netns, argv, timeout=90) == "300000\n"

    assert echoed()


@pytest.mark.alone
def test_a_flood_of_new_flows_is_bounded_and_others_go_on(mesh: Running) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    sockets = []
    for _ in range(300):
        sockets.append(udp(client.netns))
        for port in range(20_000, 20_020):
            sockets[-1].sendto(b"flood", (str(server.ipv6), port))
    family = "stoq_captured_udp_dropped_datagrams_total"

    def bounded() -> bool:
        # Either end may be the first to have enough: what the server refuses is free at the client.
        return any(
            mesh.metric(pod, family, reason="too_many_flows") > 0 for pod in ("client", "server")
        )

    assert eventually(bounded)
    open_now = mesh.metric("client", "stoq_captured_udp_flows")
    assert 0 < open_now <= 4096
    for one in sockets:
        one.close()
    assert mesh.metric("client", "stoq_ready") == 1
