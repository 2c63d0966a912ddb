"""Ending connections in a pod by their sockets, as the kernel does it. On loopback."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from stoq_node import inpods
from stoq_node.flows import Flow

HERE = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.fixture(params=HERE)
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    with socket.create_server((HERE[request.param], 0), family=request.param) as made:
        made.settimeout(30)
        yield made


def connected(listener: socket.socket) -> tuple[socket.socket, socket.socket, Flow]:
    dialling = socket.create_connection(listener.getsockname()[:2], timeout=30)
    host, port = listener.getsockname()[:2]
    flow = Flow(ip_address(host), dialling.getsockname()[1], ip_address(host), port)
    return dialling, listener.accept()[0], flow


def test_both_ends_of_a_connection_learn_that_it_is_over(listener: socket.socket) -> None:
    dialling, accepted, flow = connected(listener)
    with dialling, accepted:
        assert inpods.end(flow) >= 1
        for one in (dialling, accepted):
            one.settimeout(30)
            with pytest.raises((ConnectionAbortedError, ConnectionResetError)):
                one.recv(1)


def test_who_listens_is_left_alone_when_the_connection_is_over_already(
    listener: socket.socket,
) -> None:
    dialling, accepted, flow = connected(listener)
    dialling.close()
    accepted.close()

    assert inpods.end(flow) == 0
    dialling, accepted, _ = connected(listener)
    with dialling, accepted:
        dialling.sendall(b"x")
        assert accepted.recv(1) == b"x"
