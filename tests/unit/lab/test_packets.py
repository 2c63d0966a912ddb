"""What the witness takes a packet for."""

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest

from lab.packets import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Kind, parse

A, B = IPv6Address("fd00::a"), IPv6Address("fd00::b")


def ipv6(protocol: int, rest: bytes) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(rest), protocol, 64) + A.packed + B.packed + rest


def ipv4(protocol: int, rest: bytes, fragment: int = 0) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(rest), 1, fragment, 64, protocol, 0)
    return head + IPv4Address("10.0.0.1").packed + IPv4Address("10.0.0.2").packed + rest


def udp(source: int, destination: int, payload: bytes = b"data") -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


@pytest.mark.parametrize("port", [14008, 14012])
def test_stoq_is_known_by_its_udp_ports_in_either_direction(port: int) -> None:
    for ports in ((port, 40000), (40000, port)):
        assert parse(ETHERTYPE_IPV6, ipv6(17, udp(*ports))).kind is Kind.STOQ
        assert parse(ETHERTYPE_IPV4, ipv4(17, udp(*ports))).kind is Kind.STOQ


def test_tcp_on_a_stoq_port_is_plaintext() -> None:
    assert parse(ETHERTYPE_IPV6, ipv6(6, udp(40000, 14008))).kind is Kind.PLAINTEXT


def test_udp_on_any_other_port_is_plaintext_and_says_which() -> None:
    packet = parse(ETHERTYPE_IPV6, ipv6(17, udp(40000, 53)))

    assert packet.kind is Kind.PLAINTEXT
    assert packet.label == "UDP 40000 > 53"
    assert (packet.source, packet.destination, packet.payload) == (A, B, b"data")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(135, "neighbour solicitation"), (143, "MLDv2 report"), (2, "packet too big")],
)
def test_what_keeps_the_network_going_is_exempt_and_named(kind: int, name: str) -> None:
    packet = parse(ETHERTYPE_IPV6, ipv6(58, bytes([kind, 0, 0, 0])))

    assert packet.kind is Kind.EXEMPT
    assert packet.label == f"ICMPv6 {name}"


def test_mld_behind_a_hop_by_hop_header_is_still_mld() -> None:
    options = bytes([58, 0, 5, 2, 0, 0, 1, 0])
    assert parse(ETHERTYPE_IPV6, ipv6(0, options + bytes([143]))).label == "ICMPv6 MLDv2 report"


def test_arp_is_exempt() -> None:
    assert parse(ETHERTYPE_ARP, b"\0" * 28).kind is Kind.EXEMPT


@pytest.mark.parametrize(
    ("ethertype", "data"),
    [
        (ETHERTYPE_IPV6, b"\x60"),
        (ETHERTYPE_IPV6, ipv6(17, b"\x36")),
        (ETHERTYPE_IPV6, ipv6(44, struct.pack(">BBHI", 17, 0, 8 << 3, 1) + udp(1, 14008))),
        (ETHERTYPE_IPV4, ipv4(17, udp(1, 14008), fragment=100)),
        (ETHERTYPE_IPV6, ipv6(132, b"sctp")),
        (0x88CC, b"lldp"),
    ],
    ids=["cut short", "no udp header", "later fragment", "later ipv4 fragment", "sctp", "lldp"],
)
def test_what_cannot_be_read_counts_as_plaintext(ethertype: int, data: bytes) -> None:
    assert parse(ethertype, data).kind is Kind.PLAINTEXT
