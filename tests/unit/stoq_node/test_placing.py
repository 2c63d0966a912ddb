"""Which link is a pod's: what the kernel answers, read, and what follows from it."""

import errno
import struct
from ipaddress import ip_address

import pytest

from stoq.capture.plan import Address
from stoq_node import netlink, routes
from stoq_node.netlink import Link, Neighbour, Route
from stoq_node.placing import Nowhere, Surroundings, place

FOUR, SIX = ip_address("10.9.0.2"), ip_address("fd99::2")
MAC = bytes.fromhex("8add1f19021b")
VETH = Link(2, "vetha", "veth", 0, across=True)
PORT = Link(5, "vethb", "veth", 4, across=True, namespace=0)
BRIDGE = Link(4, "cni0", "bridge", 0, across=False)
UPLINK = Link(3, "eth0", "", 0, across=False)
LINKS = {link.index: link for link in (VETH, PORT, BRIDGE, UPLINK)}


def message(kind: int, content: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(content), kind, 0, 1, 0) + content


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def around(*neighbours: Neighbour, **found: Route | None) -> Surroundings:
    return Surroundings(LINKS, {FOUR: found.get("four"), SIX: found.get("six")}, tuple(neighbours))


def why(found: Link | Nowhere) -> str:
    assert isinstance(found, Nowhere)
    return found.why


def test_the_kernel_of_this_machine_is_understood() -> None:
    loopback = ip_address("127.0.0.1")
    found = routes.look([loopback])
    (name,) = [link.name for link in found.links.values() if link.index == 1]
    assert name == "lo"
    # It is here, and so behind no link of a pod.
    assert why(place([loopback], found)) == "no route leads to 127.0.0.1"


def test_the_addresses_of_this_machine_are_read_but_not_those_of_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ip_address("127.0.0.1") in routes.own()
    monkeypatch.setattr(routes, "KUBE_IPVS", "lo")
    assert not any(one.is_loopback for one in routes.own())


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        (attribute(1, SIX.packed), (7, SIX)),
        (attribute(1, b"\x0a\0\0\x01") + attribute(2, FOUR.packed), (7, FOUR)),
        (b"", None),
    ],
)
def test_an_address_is_read_with_its_interface(
    attributes: bytes, found: tuple[int, Address] | None
) -> None:
    content = struct.pack("=BBBBI", 10, 64, 0, 0, 7) + attributes
    assert netlink.address(20, content) == found
    assert netlink.address(16, content) is None


def test_a_link_is_read_with_its_kind_its_bridge_and_where_its_end_is() -> None:
    about = attribute(18, attribute(1, b"veth\0"))
    content = struct.pack("=BxHiII", 0, 1, 5, 0, 0) + attribute(3, b"vethb\0") + about
    bridged = content + attribute(10, struct.pack("=I", 4)) + attribute(37, b"\0" * 4)
    assert netlink.link(16, bridged) == PORT
    assert netlink.link(16, content) == Link(5, "vethb", "veth", 0, across=False)
    assert netlink.link(24, content) is None


@pytest.mark.parametrize(
    ("kind", "attributes", "found"),
    [
        (1, attribute(4, struct.pack("=I", 2)), Route(2, direct=True)),
        (
            1,
            attribute(4, struct.pack("=I", 3)) + attribute(5, b"\x0a\0\0\1"),
            Route(3, direct=False),
        ),
        (
            1,
            attribute(4, struct.pack("=I", 3)) + attribute(18, b"\x0a" * 6),
            Route(3, direct=False),
        ),
        (7, attribute(4, struct.pack("=I", 1)), None),
        (1, b"", None),
    ],
    ids=["direct", "gateway", "gateway of the other family", "unreachable", "no interface"],
)
def test_a_route_is_read(kind: int, attributes: bytes, found: Route | None) -> None:
    content = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 0, 0, 0, kind, 0) + attributes
    assert netlink.route(24, content) == found


def test_neighbours_are_read_those_of_bridges_without_address() -> None:
    head = struct.pack("=BxxxiHBB", 2, 4, 0, 0, 0)
    known = head + attribute(1, FOUR.packed) + attribute(2, MAC)
    assert netlink.neighbour(28, known) == Neighbour(4, FOUR, MAC, 0)
    learnt = struct.pack("=BxxxiHBB", 7, 5, 0, 0, 0) + attribute(2, MAC)
    learnt += attribute(9, struct.pack("=I", 4))
    assert netlink.neighbour(28, learnt) == Neighbour(5, None, MAC, 4)
    assert netlink.neighbour(28, head + attribute(1, FOUR.packed)) is None


def test_messages_of_a_datagram_are_taken_apart_and_a_no_is_raised() -> None:
    both = message(16, b"abcd") + message(3, b"")
    assert list(netlink.messages(both)) == [(16, b"abcd"), (3, b"")]
    assert list(netlink.messages(both[:18])) == []
    refused = message(2, struct.pack("=i", -errno.EPERM) + b"\0" * 16)
    with pytest.raises(PermissionError):
        list(netlink.messages(refused))
    done = message(2, struct.pack("=i", 0) + b"\0" * 16)
    assert [kind for kind, _ in netlink.messages(done)] == [2]


def test_a_pod_is_behind_the_link_that_its_route_names() -> None:
    here = around(four=Route(2, direct=True), six=Route(2, direct=True))
    assert place([FOUR, SIX], here) == VETH


def test_one_address_is_enough_while_nothing_is_known_of_the_other() -> None:
    assert place([FOUR, SIX], around(six=Route(2, direct=True))) == VETH


def test_behind_a_bridge_it_is_the_port_where_the_pods_hardware_address_was_seen() -> None:
    way = Route(4, direct=True)
    said = (Neighbour(4, FOUR, MAC, 0), Neighbour(5, None, MAC, 4))
    assert place([FOUR], around(*said, four=way)) == PORT
    silent = place([FOUR], around(said[1], four=way))
    assert silent == Nowhere("cni0 has not heard of 10.9.0.2", ((FOUR, 4),))
    other_bridge = Neighbour(5, None, MAC, 9)
    assert isinstance(place([FOUR], around(said[0], other_bridge, four=way)), Nowhere)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        (None, "no route leads to 10.9.0.2"),
        (Route(3, direct=False), "10.9.0.2 is behind a router at eth0, not on this node"),
        (Route(3, direct=True), "eth0 (hardware), which is no link of one pod"),
        (Route(99, direct=True), "no route leads to 10.9.0.2"),
    ],
)
def test_no_program_ever_comes_to_a_link_that_is_not_a_pods(route: Route | None, said: str) -> None:
    assert said in why(place([FOUR], around(four=route)))


def test_a_veth_with_both_ends_on_the_node_is_no_pods() -> None:
    here = Surroundings(
        {2: Link(2, "vetha", "veth", 0, across=False)}, {FOUR: Route(2, direct=True)}
    )
    assert "is no link of one pod" in why(place([FOUR], here))


def test_addresses_behind_two_links_are_nobodys() -> None:
    links = {**LINKS, 6: Link(6, "vethc", "veth", 0, across=True)}
    here = Surroundings(links, {FOUR: Route(2, direct=True), SIX: Route(6, direct=True)})
    assert why(place([FOUR, SIX], here)) == (
        "its addresses are behind vetha and vethc: a pod has one link"
    )


def test_a_pod_without_an_address_is_nowhere_yet() -> None:
    assert why(place([], around())) == "it has no address yet"
