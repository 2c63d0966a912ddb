"""Applications that close, reset, stall or refuse, at either end: the other end sees the same."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from netns.meshes import Echo, Running, echoed, eventually
from netns.sockets import listen
from support.patience import PATIENCE, quickly

PORT = 9100


@pytest.fixture
def listener(mesh: Running) -> Iterator[socket.socket]:
    with listen(mesh.pod("server").netns, PORT) as made:
        made.settimeout(PATIENCE)
        yield made


@pytest.fixture
def pair(mesh: Running, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of one connection through the mesh: the client's, the server's."""
    with mesh.dial("client", "server", PORT) as client:
        # The stream's head travels with the first byte or on its own: both must do.
        server, _ = listener.accept()
        with server:
            for end in (client, server):
                end.settimeout(PATIENCE)
            yield client, server


def _reset(end: socket.socket) -> None:
    """Closes with RST: linger for no time at all (socket(7))."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def test_a_server_may_speak_first(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    server.sendall(b"220 ready")

    assert client.recv(100) == b"220 ready"


@pytest.mark.parametrize("closing", ["client", "server"])
def test_half_of_a_connection_may_end_and_the_other_half_go_on(
    pair: tuple[socket.socket, socket.socket], closing: str
) -> None:
    one, other = pair if closing == "client" else pair[::-1]
    one.sendall(b"the last words")
    one.shutdown(socket.SHUT_WR)

    assert other.recv(100) == b"the last words"
    assert other.recv(100) == b""
    for _ in range(3):
        other.sendall(b"still speaking")
        assert one.recv(100) == b"still speaking"
    other.close()
    assert one.recv(100) == b""


@pytest.mark.parametrize("resetting", ["client", "server"])
def test_a_reset_arrives_as_a_reset(
    pair: tuple[socket.socket, socket.socket], resetting: str
) -> None:
    one, other = pair if resetting == "client" else pair[::-1]
    one.sendall(b"x")
    assert other.recv(1) == b"x"
    _reset(one)

    with pytest.raises(ConnectionResetError):
        other.recv(1)


def test_a_destination_that_refuses_is_a_reset_to_the_client(mesh: Running) -> None:
    # Accepted or not yet: the reset may come before connect() returns.
    with (
        pytest.raises(ConnectionResetError),
        mesh.dial("client", "server", 9199) as client,
    ):
        client.settimeout(PATIENCE)
        client.recv(1)


def test_single_bytes_arrive_in_order(mesh: Running) -> None:
    message = bytes(range(256)) * 4
    with Echo(mesh.pod("server"), PORT), mesh.dial("client", "server", PORT) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(PATIENCE)
        for value in message:
            client.sendall(bytes([value]))
        got = b""
        while len(got) < len(message):
            got += client.recv(4096)

    assert got == message


def test_a_stalled_reader_holds_back_its_writer_and_nobody_else(
    mesh: Running, listener: socket.socket
) -> None:
    with ExitStack() as open_ends, Echo(mesh.pod("server"), PORT + 1):
        for _ in range(20):
            client = open_ends.enter_context(mesh.dial("client", "server", PORT))
            open_ends.enter_context(listener.accept()[0])
            client.settimeout(0.3)
            sent = 0
            with pytest.raises(TimeoutError):
                while True:
                    sent += client.send(b"x" * 65536)
            assert sent < 64_000_000, "nobody reads, and yet it was all taken"
        for attempt in quickly(5):
            with attempt, mesh.dial("client", "server", PORT + 1) as active:
                assert echoed(active, b"y" * 1_000_000)


def test_a_stalled_reader_gets_everything_once_it_reads(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, server = pair
    client.settimeout(0.3)
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            sent += client.send(b"z" * 65536)
    client.settimeout(PATIENCE)
    client.shutdown(socket.SHUT_WR)

    got = 0
    while piece := server.recv(1 << 20):
        got += len(piece)
    assert got == sent


def test_an_application_that_dies_ends_its_connections(
    mesh: Running, listener: socket.socket
) -> None:
    for _ in range(100):
        client = mesh.dial("client", "server", PORT)
        server, _ = listener.accept()
        client.close()
        server.settimeout(PATIENCE)
        with server:
            assert server.recv(1) == b""
    assert eventually(lambda: mesh.metric("client", "stoq_tcp_sockets_open") == 0)
