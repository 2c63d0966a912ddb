"""Messages about connections, as the kernel reads and writes them."""

import struct
from ipaddress import ip_address

from stoq_node import flows, netlink
from stoq_node.flows import Flow
from stoq_node.netlink import attribute

MARK = 0x36BD
SIX = Flow(ip_address("fd00::a"), 40_000, ip_address("fd00::d"), 5432)
FOUR = Flow(ip_address("10.0.0.10"), 40_000, ip_address("10.0.0.13"), 5432)


def padded(kind: int, value: bytes) -> bytes:
    made = attribute(kind, value)
    return made + bytes(-len(made) % 4)


def told(flow: Flow, *, mark: int = MARK, protocol: int = 6) -> bytes:
    """A connection as ctnetlink tells it: attributes of attributes (0x8000), in network order."""
    source, destination = (3, 4) if flow.source.version == 6 else (1, 2)
    addresses = padded(source, flow.source.packed) + padded(destination, flow.destination.packed)
    ports = padded(1, bytes([protocol]))
    ports += padded(2, flow.source_port.to_bytes(2, "big"))
    ports += padded(3, flow.destination_port.to_bytes(2, "big"))
    original = padded(0x8001, addresses) + padded(0x8002, ports)
    return bytes(4) + padded(0x8001, original) + padded(8, mark.to_bytes(4, "big"))


def test_marked_connections_of_both_families_are_read() -> None:
    for flow in (SIX, FOUR):
        assert flows.marked(0x0100, told(flow), MARK) == flow


def test_others_are_left_out() -> None:
    assert flows.marked(0x0100, told(SIX, mark=1), MARK) is None
    assert flows.marked(0x0100, told(SIX, protocol=17), MARK) is None
    assert flows.marked(0x0102, told(SIX), MARK) is None
    assert flows.marked(0x0100, bytes(4), MARK) is None
    assert flows.marked(0x0100, told(SIX)[:40], MARK) is None


def test_the_question_names_family_and_mark() -> None:
    ((kind, body),) = netlink.messages(flows.marked_wanted(10, MARK))
    assert kind == 0x0101
    assert body[0] == 10
    assert netlink.attributes(body[4:]) == {8: MARK.to_bytes(4, "big"), 21: b"\xff" * 4}


COOKIE = bytes(range(8))


def test_a_socket_is_asked_for_and_ended_from_its_own_side() -> None:
    for flow, family, size in ((SIX, 10, 16), (FOUR.back, 2, 4)):
        asked = (20, flows.socket_wanted(flow), b"\xff" * 8)
        for wanted, message, named in (asked, (21, flows.ended(flow, COOKIE), COOKIE)):
            ((kind, body),) = netlink.messages(message)
            assert (kind, len(body)) == (wanted, 56)
            assert body[:2] == bytes([family, 6])
            assert struct.unpack("!HH", body[8:12]) == (flow.source_port, flow.destination_port)
            assert body[12 : 12 + size] == flow.source.packed
            assert body[28 : 28 + size] == flow.destination.packed
            assert body[48:] == named


def test_a_socket_that_listens_or_waits_for_its_end_is_no_connection() -> None:
    def shown(state: int) -> bytes:
        return bytes([10, state, 0, 0]) + bytes(40) + COOKIE + bytes(20)

    established, time_wait, listening = 1, 6, 10
    assert flows.cookie(20, shown(established)) == COOKIE
    assert flows.cookie(20, shown(time_wait)) is None
    assert flows.cookie(20, shown(listening)) is None
    assert flows.cookie(2, shown(established)) is None
    assert flows.cookie(20, shown(established)[:40]) is None
