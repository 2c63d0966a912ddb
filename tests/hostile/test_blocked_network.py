"""A network that drops STOQ: a clear error, no plaintext, and no lasting harm."""

import time
from collections.abc import Iterator

import pytest

from lab import netns, sniff
from netns.meshes import Echo, Running, eventually

SECRET = b"what must not cross in the clear"
RULES = """
table bridge blocked {
  chain forward {
    type filter hook forward priority 0; policy accept;
    udp dport 14008 drop
    udp sport 14008 drop
  }
}
"""


@pytest.fixture
def blocked(mesh: Running) -> Iterator[None]:
    fabric = mesh.layout.fabric
    netns.run_in(fabric, ["nft", "-f", "-"], stdin=RULES)
    yield
    netns.run_in(fabric, ["nft", "delete", "table", "bridge", "blocked"])


@pytest.mark.usefixtures("blocked")
def test_a_dial_that_udp_cannot_carry_ends_with_an_error_that_names_the_port(
    mesh: Running,
) -> None:
    whole = sniff.Capture.start(
        mesh.state, "blocked", mesh.layout.fabric, expression="", snapshot=sniff.WHOLE
    )
    log = mesh.mesh.sidecars["client"].log
    already = len(log.read_text())
    start = time.monotonic()
    with Echo(mesh.pod("server")):
        connection = mesh.dial("client", "server")
        connection.settimeout(30)
        with connection, pytest.raises(ConnectionResetError):
            connection.sendall(SECRET)
            connection.recv(100)
    assert time.monotonic() - start < 25
    whole.stop()

    said = log.read_text()[already:]
    assert "UDP" in said, said
    assert "14008" in said, said
    seen = list(sniff.packets(whole.file))
    assert sniff.find_marker(seen, SECRET, frozenset()) == (0, 0)
    assert sniff.count(seen, frozenset(), 0).plaintext_packets == 0


def test_when_the_network_is_back_so_is_the_mesh(mesh: Running) -> None:
    with Echo(mesh.pod("server")):
        assert eventually(lambda: mesh.reaches("client", "server"))
