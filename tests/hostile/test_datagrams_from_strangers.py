"""Whoever reaches the UDP ports without a certificate: nothing they send disturbs the others."""

import os
import random
import socket

import pytest

from netns.meshes import Echo, Running, echoed
from netns.sockets import in_pod

VERSION_1 = b"\x00\x00\x00\x01"


def _initial(rng: random.Random, size: int) -> bytes:
    """Looks like a client's first Initial and is not: its protection cannot be removed."""
    head = b"\xc3" + VERSION_1 + b"\x08" + rng.randbytes(8) + b"\x08" + rng.randbytes(8)
    return head + b"\x00" + (0x4000 | (size - 26)).to_bytes(2) + rng.randbytes(size - 26)


def _datagrams(kind: str, rng: random.Random) -> list[bytes]:
    return {
        "empty": [b""] * 50,
        "single bytes": [bytes([value]) for value in range(256)],
        "random": [rng.randbytes(rng.randrange(1, 1453)) for _ in range(1000)],
        "initials": [_initial(rng, 1200) for _ in range(1000)],
        "initials too small": [_initial(rng, rng.randrange(60, 1199)) for _ in range(300)],
        "truncated heads": [_initial(rng, 1200)[:cut] for cut in range(1, 40)] * 5,
        "unknown versions": [
            b"\xc0" + rng.randbytes(4) + _initial(rng, 1200)[5:] for _ in range(300)
        ],
        "short headers": [b"\x40" + rng.randbytes(60) for _ in range(1000)],
        "jumbo": [rng.randbytes(60_000) for _ in range(20)],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "single bytes",
        "random",
        "initials",
        "initials too small",
        "truncated heads",
        "unknown versions",
        "short headers",
        "jumbo",
    ],
)
@pytest.mark.parametrize("target", ["server", "control"])
def test_garbage_harms_no_connection_that_is_there_and_none_that_comes(
    mesh: Running, kind: str, target: str
) -> None:
    port = 14008 if target == "server" else 14012
    stranger = in_pod(
        mesh.pod("outside").netns, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    )
    where = (str(mesh.pod(target).ipv6), port)
    with stranger, Echo(mesh.pod("server")), mesh.dial("client", "server") as before:
        assert echoed(before)
        for datagram in _datagrams(kind, random.Random(os.urandom(8))):
            stranger.sendto(datagram, where)
        assert echoed(before, b"after" * 10_000)
        assert mesh.reaches("client", "server")


def test_half_open_handshakes_are_bounded_and_pass(mesh: Running) -> None:
    rng = random.Random(7)
    stranger = in_pod(
        mesh.pod("outside").netns, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    )
    with stranger, Echo(mesh.pod("server")):
        for _ in range(5000):
            stranger.sendto(_initial(rng, 1200), (str(mesh.pod("server").ipv6), 14008))
        assert mesh.metric("server", "stoq_handshakes_in_flight") <= 1024
        assert mesh.reaches("client", "server")
