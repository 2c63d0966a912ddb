"""What the demonstration makes of what the node's kernel did."""

import struct
from ipaddress import IPv6Address
from pathlib import Path
from random import Random

import pytest

from lab import blast, pcap, sniff
from lab.demo.kernel import guarded, joined, lent
from lab.demo.kernel.joined import Seen
from lab.demo.report import Check

FETCHED = Check("curl, 1 MB", ok=True, detail="checksum equal, 0.02 s")
BROKEN = Check("curl, 1 MB", ok=False, detail="exit status 28")

JOINED = Seen(readable=40, forwarded=0, past=70_000)
PARTED = Seen(readable=0, forwarded=0, past=0)


def test_joined_pods_are_read_on_the_node_and_nowhere_else() -> None:
    assert joined.joined_check(FETCHED, JOINED, 0).ok
    assert "readable in 40 packets" in joined.joined_check(FETCHED, JOINED, 0).detail


@pytest.mark.parametrize(
    ("fetched", "seen", "opened"),
    [
        (BROKEN, JOINED, 0),
        (FETCHED, PARTED, 0),
        (FETCHED, Seen(40, 1, 70_000), 0),
        (FETCHED, Seen(40, 0, 0), 0),
        (FETCHED, JOINED, 1),
    ],
)
def test_pods_are_not_joined_when_it_went_another_way(
    fetched: Check, seen: Seen, opened: float
) -> None:
    assert not joined.joined_check(fetched, seen, opened).ok


def test_pods_are_parted_when_what_was_open_has_ended_and_the_next_is_encrypted() -> None:
    assert joined.parted_check(56, 2, FETCHED, PARTED).ok
    assert not joined.parted_check(0, 2, FETCHED, PARTED).ok
    assert not joined.parted_check(-15, 2, FETCHED, PARTED).ok
    assert not joined.parted_check(56, 2, BROKEN, PARTED).ok
    for leaking in (Seen(1, 0, 0), Seen(0, 3, 0), Seen(0, 0, 80)):
        assert not joined.parted_check(56, 2, FETCHED, leaking).ok


def test_a_flood_is_dropped_and_who_means_it_is_served() -> None:
    assert guarded.check(FETCHED, 4890, 110).ok
    assert not guarded.check(BROKEN, 4890, 110).ok
    assert not guarded.check(FETCHED, 0, 5000).ok
    assert not guarded.check(FETCHED, 4890, 5000).ok


def test_frames_went_past_the_stack_when_both_sidecars_sent_and_received_some() -> None:
    assert lent.check(FETCHED, [10, 700, 690, 12]).ok
    assert "700 frames sent" in lent.check(FETCHED, [10, 700, 690, 12]).detail
    assert not lent.check(FETCHED, [10, 0, 690, 12]).ok
    assert not lent.check(BROKEN, [10, 700, 690, 12]).ok


def test_each_handshake_of_a_flood_comes_from_another_address_and_looks_like_one() -> None:
    numbers, target = Random(1), IPv6Address("fd00::1")
    packets = [blast.spoofed(numbers, target) for _ in range(50)]
    sources = {IPv6Address(packet[8:24]) for packet in packets}

    assert len(sources) == len(packets)
    assert all(packet[24:40] == target.packed for packet in packets)
    assert all(struct.unpack_from("!HH", packet, 40) == (4433, 14008) for packet in packets)
    assert all(packet[48] == 0xC0 and len(packet) == 40 + 8 + 1200 for packet in packets)


def test_what_went_out_to_a_pod_is_told_from_what_came_in(tmp_path: Path) -> None:
    numbers, target = Random(1), IPv6Address("fd00::1")
    came, went = (blast.spoofed(numbers, target) for _ in range(2))
    file = tmp_path / "flood.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, pcap.LINUX_SLL2)
    records = b""
    for direction, data in ((0, came), (4, went)):
        frame = struct.pack(">HHIHBB8s", 0x86DD, 0, 3, 1, direction, 6, b"\0" * 8) + data
        records += struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame
    file.write_bytes(head + records)

    for outgoing, data in ((False, came), (True, went)):
        ((_, packet),) = sniff.packets(file, outgoing=outgoing)
        assert packet.source == IPv6Address(data[8:24])
