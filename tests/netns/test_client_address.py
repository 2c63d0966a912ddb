"""Whose address the application sees, with the real sidecars in both modes of capture."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address

import pytest

from lab import netns, sniff
from lab.mesh import MeshSettings
from netns.meshes import PORT, Running, running
from netns.sockets import in_pod, listen
from stoq.capture import routes
from stoq.capture.netns import run_in


class Tells:
    """An application that tells each client its address and port as it sees them."""

    def __init__(self, netns_name: str, port: int = PORT) -> None:
        self._listener = listen(netns_name, port)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, source = self._listener.accept()
                with connection:
                    connection.sendall(f"{source[0]} {source[1]}".encode())

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def telling(mesh: Running, *names: str) -> Iterator[None]:
    applications = [Tells(mesh.pod(name).netns) for name in names]
    try:
        yield
    finally:
        for application in applications:
            application.close()


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    settings = MeshSettings(capture="node")
    with running("client", "server", settings=settings) as made, telling(made, "server"):
        # As strict as distributions set it: our answers must not look misrouted.
        strict = ["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.lo.rp_filter=1"]
        netns.run_in(made.pod("server").netns, strict)
        yield made


def dialled(mesh: Running, source: str, address: object, local: int = 0) -> tuple[str, int, int]:
    """What the server says of a connection from port `local`: address, port, and our own port."""
    family = socket.AF_INET6 if ip_address(str(address)).version == 6 else socket.AF_INET

    def dial() -> socket.socket:
        made = socket.socket(family)
        made.settimeout(30)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("", local))
        made.connect((str(address), PORT))
        return made

    with in_pod(mesh.pod(source).netns, dial) as connection:
        said = connection.recv(200).decode()
        ours = connection.getsockname()[1]
    seen, _, port = said.partition(" ")
    return str(ip_address(seen.removeprefix("::ffff:"))), int(port), ours


def _tcp(watch: sniff.Capture) -> list[str]:
    """What crossed between the pods as TCP."""
    seen = sniff.packets(watch.file)
    return [packet.label for _, packet in seen if packet.protocol == socket.IPPROTO_TCP]


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_in_node_mode_the_application_sees_the_client(mesh: Running, family: str) -> None:
    client, server = (getattr(mesh.pod(name), family) for name in ("client", "server"))
    for _ in range(30):
        seen, port, ours = dialled(mesh, "client", server)
        assert seen == str(client)
        assert port == ours


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_it_is_seen_too_where_many_come_at_once(mesh: Running, family: str) -> None:
    client, server = (getattr(mesh.pod(name), family) for name in ("client", "server"))
    with ThreadPoolExecutor(12) as callers:  # more than sockets are minted ahead
        seen = list(callers.map(lambda _: dialled(mesh, "client", server)[0], range(240)))
    assert set(seen) == {str(client)}


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_a_port_that_is_taken_is_replaced_and_the_address_kept(mesh: Running, family: str) -> None:
    client, server = (getattr(mesh.pod(name), family) for name in ("client", "server"))
    # The application itself holds the port, on every address.
    seen, port, _ = dialled(mesh, "client", server, local=PORT)
    assert seen == str(client)
    assert port != PORT


def test_large_answers_come_back_and_nothing_of_them_leaves_in_the_clear(mesh: Running) -> None:
    server = mesh.pod("server")
    payload = b"an answer that must stay in the pod " * 30_000
    with listen(server.netns, 8090) as listener:
        listener.settimeout(30)
        watch = sniff.Capture.start(
            mesh.state, "client", mesh.layout.fabric, expression="tcp or udp", snapshot=sniff.WHOLE
        )
        with mesh.dial("client", "server", 8090) as connection:
            accepted, _ = listener.accept()
            with accepted:
                sending = threading.Thread(target=partial(accepted.sendall, payload))
                sending.start()
                connection.settimeout(30)
                got = b""
                while len(got) < len(payload):
                    got += connection.recv(65536)
                sending.join()
        assert watch.stop() == 0
    assert got == payload
    assert not _tcp(watch)


def test_a_refusal_of_the_application_comes_back(mesh: Running) -> None:
    # Either call may be the one that hears of it: the sidecar of the client has accepted by then.
    with pytest.raises(ConnectionResetError), mesh.dial("client", "server", 8099) as connection:
        connection.settimeout(30)
        connection.recv(1)


def test_without_the_route_answers_are_dropped_not_sent_to_the_client(mesh: Running) -> None:
    server = mesh.pod("server")
    where = f"/run/netns/{server.netns}"
    watch = sniff.Capture.start(
        mesh.state, "unrouted", mesh.layout.fabric, expression="tcp or udp", snapshot=sniff.WHOLE
    )
    try:
        assert run_in(where, routes.prune)
        with mesh.dial("client", "server") as connection, pytest.raises(OSError, match="timed out"):
            connection.settimeout(2)
            connection.recv(1)
    finally:
        assert run_in(where, routes.add)
        assert watch.stop() == 0
    assert not _tcp(watch)
    assert dialled(mesh, "client", server.ipv6)[0] == str(mesh.pod("client").ipv6)


def test_a_client_outside_the_mesh_is_not_believed(mesh: Running) -> None:
    # Its plaintext is let in, but nobody has vouched for its address.
    server = mesh.pod("server").ipv6
    assert dialled(mesh, "outside", server)[0] == str(server)


def in_init_mode(mesh: Running, *, kept: bool) -> None:
    """The server shows the client's address for IPv6, or it does not."""
    client, server = mesh.pod("client"), mesh.pod("server")
    assert dialled(mesh, "client", server.ipv6)[0] == str(client.ipv6 if kept else server.ipv6)
    # IPv4 takes a capability that the sidecar does not have.
    assert dialled(mesh, "client", server.ipv4)[0] == str(server.ipv4)
    _, metrics = mesh.page("server", "http://127.0.0.1:14020/metrics")
    assert f'stoq_client_address_kept{{family="ipv6"}} {float(kept)}' in metrics
    assert 'stoq_client_address_kept{family="ipv4"} 0.0' in metrics


@contextmanager
def init_mode(wanted: str) -> Iterator[Running]:
    environment = {"STOQ_CAPTURE_CLIENT_ADDRESS": wanted}
    settings = MeshSettings(capture="init", environment=environment)
    with running("client", "server", settings=settings) as made, telling(made, "server"):
        yield made


def started_again(mesh: Running) -> None:
    """The server's sidecar alone, where capture has long been in force or is not to be."""
    server = mesh.pod("server")
    mesh.mesh.sidecars["server"].stop()
    mesh.mesh.start_sidecar(server)
    mesh.mesh.wait_ready([server])


def test_in_init_mode_it_is_the_clients_address_for_ipv6() -> None:
    with init_mode("auto") as mesh:
        in_init_mode(mesh, kept=True)
        started_again(mesh)
        in_init_mode(mesh, kept=True)
        # A route of somebody else where ours would be: capture goes on without.
        where = f"/run/netns/{mesh.pod('server').netns}"
        assert run_in(where, routes.prune)
        foreign = ["ip", "-6", "route", "add", "unreachable", "default", "table", "14008"]
        netns.run_in(mesh.pod("server").netns, foreign)
        started_again(mesh)
        in_init_mode(mesh, kept=False)


def test_in_init_mode_it_can_be_switched_off() -> None:
    with init_mode("off") as mesh:
        in_init_mode(mesh, kept=False)
