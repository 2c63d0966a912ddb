"""The applications' UDP between meshed pods, in capture mode `node`."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGKILL

import pytest

from lab import sniff
from lab.mesh import MeshSettings
from netns.datagrams import TRIES, UdpEcho, answered, answered_in_turn, udp
from netns.meshes import Running, eventually, running

PORT = 9000
SECRET = b"no eye on the wire shall see this payload"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    with running("client", "server", settings=MeshSettings(capture="node")) as made:
        yield made


@contextmanager
def watched(mesh: Running, name: str) -> Iterator[list[int]]:
    """How often the secret crossed in the clear, in whole packets on the pods' bridge."""
    whole = sniff.Capture.start(
        mesh.state, name, mesh.layout.fabric, expression="ip or ip6", snapshot=sniff.WHOLE
    )
    found: list[int] = []
    yield found
    assert whole.stop() == 0, "the witness missed packets"
    seen = list(sniff.packets(whole.file))
    found.append(sniff.find_marker(seen, SECRET, frozenset())[0])


def test_datagrams_arrive_encrypted_and_from_the_clients_own_address(mesh: Running) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    with (
        watched(mesh, "between") as found,
        UdpEcho(server.netns, PORT) as echo,
        udp(client.netns) as asking,
    ):
        assert answered(asking, server.ipv6, PORT, SECRET, tries=TRIES)
        assert echo.peers[0] == (str(client.ipv6), asking.getsockname()[1])
        for _ in range(20):
            assert answered(asking, server.ipv6, PORT, SECRET, tries=TRIES)
    assert found == [0]


def test_ipv4_is_carried_as_well(mesh: Running) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    assert server.ipv4 is not None
    with (
        UdpEcho(server.netns, PORT, socket.AF_INET) as echo,
        udp(client.netns, family=socket.AF_INET) as asking,
    ):
        assert answered(asking, server.ipv4, PORT, SECRET, tries=TRIES)
        assert echo.peers[0] == (str(client.ipv4), asking.getsockname()[1])


@pytest.mark.parametrize("size", [0, 1, 1200, 1452, 1500, 9000, 65_000])
def test_payloads_of_every_size_arrive_whole(mesh: Running, size: int) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    with UdpEcho(server.netns, PORT), udp(client.netns) as asking:
        assert answered(asking, server.ipv6, PORT, b"x" * size, tries=TRIES)


def test_a_connected_socket_gets_its_answers(mesh: Running) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    with UdpEcho(server.netns, PORT), udp(client.netns) as asking:
        asking.connect((str(server.ipv6), PORT))
        assert answered_in_turn(asking, SECRET, tries=TRIES)


def test_what_a_closed_port_would_say_does_not_leave(mesh: Running) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    with watched(mesh, "closed") as found, udp(client.netns) as asking:
        asking.settimeout(1)
        assert not answered(asking, server.ipv6, 9999, SECRET, tries=2)
    assert found == [0]


@pytest.mark.parametrize("who", ["client", "server"])
def test_nothing_leaves_in_the_clear_while_a_sidecar_is_dead(mesh: Running, who: str) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    mesh.mesh.sidecars[who].stop(number=SIGKILL)
    try:
        with (
            watched(mesh, f"dead-{who}") as found,
            UdpEcho(server.netns, PORT),
            udp(client.netns) as asking,
        ):
            asking.settimeout(1)
            assert not answered(asking, server.ipv6, PORT, SECRET, tries=3)
        assert found == [0]
    finally:
        mesh.mesh.start_sidecar(mesh.pod(who))
        mesh.mesh.wait_ready([mesh.pod(who)])
    with UdpEcho(server.netns, PORT), udp(client.netns) as asking:
        assert eventually(lambda: answered(asking, server.ipv6, PORT, SECRET))


def test_an_unmeshed_destination_answers_from_its_address(mesh: Running) -> None:
    client, outside = mesh.pod("client"), mesh.pod("outside")
    with UdpEcho(outside.netns, PORT) as echo, udp(client.netns) as asking:
        assert answered(asking, outside.ipv6, PORT, tries=TRIES)
        assert echo.peers[0] == (str(client.ipv6), asking.getsockname()[1])
        asking.connect((str(outside.ipv6), PORT))
        assert answered_in_turn(asking, b"connected", tries=TRIES)


def test_an_unmeshed_client_is_let_in_where_that_is_permitted(mesh: Running) -> None:
    outside, server = mesh.pod("outside"), mesh.pod("server")
    with UdpEcho(server.netns, PORT) as echo, udp(outside.netns) as asking:
        assert answered(asking, server.ipv6, PORT, tries=TRIES)
        assert echo.peers[0] == (str(outside.ipv6), asking.getsockname()[1])
        assert answered(asking, server.ipv6, PORT, b"large" * 1000, tries=TRIES)


def test_a_peer_that_does_not_capture_udp_is_never_reached_in_plaintext() -> None:
    settings = MeshSettings(capture="node")
    with running("client", "server", settings=settings) as made:
        client, server = made.pod("client"), made.pod("server")
        made.mesh.sidecars["server"].stop()
        manifest = json.loads((made.mesh.store / "workload-server.yaml").read_text())
        version = made.metric("client", "stoq_registry_version")
        # The sidecar is lent what the control process knows when it starts. The zone is there
        # because the client is told of it.
        spec = manifest["spec"] | {"capture": {"udp": False}, "zone": "later"}
        made.mesh.write("Workload", "server", spec)
        assert eventually(lambda: made.metric("client", "stoq_registry_version") > version)
        family = "stoq_captured_udp_dropped_datagrams_total"
        made.mesh.start_sidecar(server)
        made.mesh.wait_ready([server])
        with (
            watched(made, "older") as found,
            UdpEcho(server.netns, PORT),
            udp(client.netns) as asking,
        ):
            asking.settimeout(1)
            assert not answered(asking, server.ipv6, PORT, SECRET, tries=3)
            assert eventually(lambda: made.metric("client", family, reason="no_extension") > 0)
        assert found == [0]
