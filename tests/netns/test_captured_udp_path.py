"""Captured UDP to destinations outside the mesh, behind a router whose link takes less."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import netns
from lab.mesh import MeshSettings
from netns.datagrams import UdpEcho, answered, udp
from netns.meshes import Running, eventually, running

PORT = 9000
NARROW = 1300
"""MTU of the link between the router and the pod behind it; the others have 1500."""

MTU_DISCOVER, DONT, DO, PROBE = 10, 0, 2, 3  # <linux/in.h>
IPV6_MTU_DISCOVER = 23  # <linux/in6.h>


@dataclass(frozen=True)
class Way:
    """A family, where the other end is in it, and the options of a socket."""

    family: socket.AddressFamily
    near: str
    far: str
    bits: int
    header: int
    discover: tuple[int, int]

    @property
    def fits(self) -> bytes:
        """A payload that just gets through."""
        return b"f" * (NARROW - self.header)

    @property
    def too_long(self) -> bytes:
        """One that the pod's own link takes."""
        return b"l" * (1500 - self.header)


IPV6 = Way(socket.AF_INET6, "fd77::1", "fd77::2", 64, 48, (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER))
IPV4 = Way(socket.AF_INET, "10.77.0.1", "10.77.0.2", 24, 28, (socket.IPPROTO_IP, MTU_DISCOVER))

FAMILIES = pytest.mark.parametrize("way", [IPV6, IPV4], ids=["ipv6", "ipv4"])


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    settings = MeshSettings(capture="node")
    with running("client", settings=settings, also=("router", "far"), prepare=narrow) as made:
        yield made


def narrow(made: Running) -> None:
    """Puts one pod behind another, over a link that takes less."""
    client, router, far = (made.pod(name) for name in ("client", "router", "far"))
    link = f"link add near mtu {NARROW} type veth peer name far0 mtu {NARROW} netns {far.netns}"
    netns.run_in(router.netns, ["ip", *link.split()])
    for pod, device, ends in (
        (router, "near", (IPV6.near, IPV4.near)),
        (far, "far0", (IPV6.far, IPV4.far)),
    ):
        ip(pod.netns, f"link set {device} up")
        for way, address in zip((IPV6, IPV4), ends, strict=True):
            at_once = "nodad" if way is IPV6 else ""
            ip(pod.netns, f"addr add {address}/{way.bits} dev {device} {at_once}")
    for name in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
        netns.run_in(router.netns, ["sysctl", "-qw", name])
    ways = ((IPV6, client.ipv6, router.ipv6, 128), (IPV4, client.ipv4, router.ipv4, 32))
    for way, source, through, whole in ways:
        ip(client.netns, f"route add {way.far}/{whole} via {through}")
        ip(far.netns, f"route add {source}/{whole} via {way.near}")


def ip(name: str, words: str) -> None:
    netns.run_in(name, ["ip", *words.split()])


def asking(mesh: Running, way: Way, discover: int | None = None) -> socket.socket:
    """An application's socket, which leaves the path's MTU to its kernel unless told otherwise."""
    opened = udp(mesh.pod("client").netns, family=way.family)
    if discover is not None:
        opened.setsockopt(*way.discover, discover)
    return opened


def arrives(
    mesh: Running, way: Way, payload: bytes, discover: int | None = None, tries: int = 20
) -> bool:
    """Whether a payload comes back, sent from a socket of its own, once a second."""
    with asking(mesh, way, discover) as one:
        one.settimeout(1)
        return answered(one, way.far, PORT, payload, tries=tries)


def echo(mesh: Running, way: Way) -> UdpEcho:
    return UdpEcho(mesh.pod("far").netns, PORT, way.family)


@FAMILIES
def test_an_application_that_sends_whole_packets_is_told_how_long_they_may_be(
    mesh: Running, way: Way
) -> None:
    with echo(mesh, way) as far, asking(mesh, way, DO) as one:

        def told() -> bool:
            try:
                one.sendto(way.too_long, (way.far, PORT))
            except OSError as error:
                return error.errno == errno.EMSGSIZE
            return False

        assert eventually(told)
        assert far.peers == []
        assert arrives(mesh, way, way.fits, DO)


@FAMILIES
def test_what_the_kernel_divides_for_an_application_gets_through(mesh: Running, way: Way) -> None:
    with echo(mesh, way):
        # The first may be what the router tells the kernel about.
        assert arrives(mesh, way, way.too_long)
        assert arrives(mesh, way, b"x" * 9000)


def test_a_search_for_the_mtu_of_the_path_finds_it(mesh: Running) -> None:
    with echo(mesh, IPV4):
        assert arrives(mesh, IPV4, IPV4.fits, PROBE)
        assert not arrives(mesh, IPV4, IPV4.too_long, PROBE, tries=3)
        assert arrives(mesh, IPV4, IPV4.fits, PROBE)


def test_routers_divide_what_says_that_they_may(mesh: Running) -> None:
    with echo(mesh, IPV4):
        assert arrives(mesh, IPV4, IPV4.too_long, DONT)
