"""What the captures on a cluster's nodes are taken to prove."""

import struct
from ipaddress import ip_address
from typing import Any

from cluster.witness import meshed, plaintext
from lab import pcap
from lab.packets import ETHERTYPE_IPV6, ICMPV6, TCP, UDP

WEB, CLIENT, STRANGER = "fd00::a", "fd00::b", "fd00::c"


def pod(address: str, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"annotations": annotations}, "status": {"podIPs": [{"ip": address}]}}


MEMBERS = meshed([pod(each, **{"stoq.dev/status": "{}"}) for each in (WEB, CLIENT)])


def capture(source: str, destination: str, protocol: int, rest: bytes) -> bytes:
    """One packet, as tcpdump writes it."""
    ends = ip_address(source).packed + ip_address(destination).packed
    packet = struct.pack(">IHBB", 6 << 28, len(rest), protocol, 64) + ends + rest
    record = struct.pack(">HHIHBB8s", ETHERTYPE_IPV6, 0, 3, 1, 0, 6, b"\0" * 8) + packet
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, pcap.LINUX_SLL2)
    return head + struct.pack("<IIII", 1, 0, len(record), len(record)) + record


SEGMENT = struct.pack(">HHIIBBHHH", 40000, 80, 1, 0, 5 << 4, 2, 512, 0, 0)
DATAGRAM = struct.pack(">HHHH", 40000, 53, 8, 0)


def test_only_pods_that_carry_the_meshs_annotation_are_members() -> None:
    assert meshed([pod(WEB, other="x"), pod(CLIENT, **{"stoq.dev/status": "{}"})]) == {CLIENT}
    assert meshed([{"metadata": {}, "status": {}}]) == set()


def test_anything_but_stoq_between_two_members_is_found() -> None:
    for protocol, rest in ((TCP, SEGMENT), (UDP, DATAGRAM)):
        (found,) = plaintext([capture(CLIENT, WEB, protocol, rest)], MEMBERS).items()
        assert found[0].startswith(CLIENT)
        assert found[0].endswith(WEB)
        assert found[1] == 1


def test_what_a_stranger_sends_and_icmp_are_no_plaintext_of_the_mesh() -> None:
    echo = struct.pack(">BBHHH", 128, 0, 0, 1, 1)
    assert plaintext([capture(STRANGER, WEB, TCP, SEGMENT)], MEMBERS) == {}
    assert plaintext([capture(CLIENT, WEB, ICMPV6, echo)], MEMBERS) == {}
