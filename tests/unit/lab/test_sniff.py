"""The verdict of the witness, from packets alone."""

import struct
from ipaddress import IPv6Address

import pytest

from lab import pcap, sniff
from lab.packets import UDP, Packet

A, B, OUTSIDE = IPv6Address("fd00::a"), IPv6Address("fd00::b"), IPv6Address("fd00::c")


def packet(source: IPv6Address, label: str, payload: bytes = b"", port: int = 80) -> Packet:
    return Packet(source, B, UDP, 40000, port, payload, label)


def test_only_what_crosses_within_the_mesh_counts_against_it() -> None:
    seen = [
        (0.0, packet(A, "UDP 40000 > 14008", port=14008)),
        (0.0, packet(A, "UDP 40000 > 80")),
        (0.0, packet(OUTSIDE, "UDP 40000 > 80")),
        (0.0, packet(A, "ICMPv6 neighbour solicitation")),
    ]
    counted = sniff.count(seen, frozenset([OUTSIDE]), dropped=0)

    assert counted.plaintext_packets == 1
    assert list(counted.plaintext) == ["fd00::a UDP 40000 > 80 fd00::b"]
    assert sum(counted.bystanders.values()) == 1
    assert counted.exempt == {"ICMPv6 neighbour solicitation": 1}


def test_the_marker_is_looked_for_inside_stoq_packets_too() -> None:
    seen = [
        (0.0, packet(A, "UDP 40000 > 14008", b"..MARKER..", port=14008)),
        (0.0, packet(OUTSIDE, "UDP 40000 > 80", b"MARKER")),
        (0.0, packet(A, "UDP 40000 > 14008", b"ciphertext", port=14008)),
    ]
    assert sniff.find_marker(seen, b"MARKER", frozenset([OUTSIDE])) == (1, 1)


def _capture(*records: bytes, link_type: int = pcap.LINUX_SLL2) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type)
    return head + b"".join(
        struct.pack("<IIII", 1, 500_000, len(record), len(record)) + record for record in records
    )


def _sll2(direction: int, data: bytes) -> bytes:
    return struct.pack(">HHIHBB8s", 0x86DD, 0, 3, 1, direction, 6, b"\0" * 8) + data


def test_a_capture_is_read_to_its_end_and_a_cut_record_left_out() -> None:
    whole = _capture(_sll2(3, b"one"), _sll2(4, b"two"))
    read = list(pcap.frames(whole))

    assert [(frame.data, frame.outgoing, frame.time) for frame in read] == [
        (b"one", False, 1.5),
        (b"two", True, 1.5),
    ]
    assert [frame.data for frame in pcap.frames(whole[:-1])] == [b"one"]
    assert list(pcap.frames(b"")) == []


def test_delivered_is_what_left_by_a_pods_own_link() -> None:
    def record(interface: int, direction: int, port: int) -> bytes:
        ip = struct.pack(">IHBB", 6 << 28, 8, UDP, 64) + A.packed + B.packed
        head = struct.pack(">HHIHBB8s", 0x86DD, 0, interface, 1, direction, 6, b"")
        return head + ip + struct.pack(">HHHH", 40000, port, 8, 0)

    # 3: the sender's link, on which it was tried; 4 and 5: links of others.
    capture = _capture(record(3, 0, 80), record(4, 4, 81), record(5, 4, 82), record(4, 0, 83))
    found = list(sniff.delivered(capture, frozenset([3, 4])))
    assert [(packet.source, packet.destination_port) for packet in found] == [(A, 81)]


@pytest.mark.parametrize(
    ("capture", "said"),
    [
        (b"short", "no capture file"),
        (b"\x0a\x0d\x0d\x0a" + b"\0" * 20, "magic number"),
        (_capture(link_type=1), "link type 1"),
    ],
)
def test_another_kind_of_file_is_refused(capture: bytes, said: str) -> None:
    with pytest.raises(pcap.CaptureError, match=said):
        list(pcap.frames(capture))
