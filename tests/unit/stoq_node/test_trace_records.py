"""What the program in the kernel writes is read as it was written."""

import struct
from ipaddress import ip_address

import pytest

from stoq_node.trace import reasons, records
from stoq_node.trace.owners import bound
from stoq_node.trace.records import TCP, UDP, Drop, Flow, Owner

FORMAT = """\
name: kfree_skb
print fmt: "skbaddr=%p protocol=%u location=%pS reason: %s", REC->skbaddr, REC->protocol, \
REC->location, __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 3, "NO_SOCKET" }, \
{ 80, "TC_INGRESS" })
"""

LISTENING = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0B00007F:1F91 01 00000000:00000000 00:00000000 00000000  1000        0 77
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 78 1
"""


def flow(protocol: int, local_port: int, remote_port: int) -> bytes:
    local = ip_address("fd00::1").packed
    remote = bytes(10) + b"\xff\xff" + ip_address("10.0.0.9").packed
    return struct.pack("=16s16sHHIB3x", local, remote, local_port, remote_port, 4, protocol)


def event(protocol: int, local_port: int, remote_port: int, **how: int) -> bytes:
    owner = struct.pack(
        "=II16sBBBx",
        how.get("pid", 0),
        how.get("uid", 0),
        b"curl\0garbage",
        how.get("outgoing", 0),
        how.get("opener", 0),
        how.get("owned", 0),
    )
    return flow(protocol, local_port, remote_port) + owner


def test_an_event_has_its_flow_and_its_program() -> None:
    found = records.event(event(TCP, 40000, 80, pid=7, uid=1000, owned=1, opener=1, outgoing=1))
    assert found.flow == Flow(4, TCP, ip_address("fd00::1"), 40000, ip_address("10.0.0.9"), 80)
    assert found.owner == Owner(1000, 7, "curl")
    assert found.opened_here


def test_a_user_that_is_not_known_is_not_root() -> None:
    owner = records.event(event(TCP, 40000, 80)).owner
    assert (owner.uid, owner.pid) == (None, None)


@pytest.mark.parametrize(
    ("data", "here"),
    [
        (event(TCP, 80, 40000, opener=1), True),
        (event(TCP, 40000, 80, opener=2, outgoing=1), False),
        # It began before the trace did.
        (event(TCP, 40000, 80), True),
        (event(TCP, 80, 40000, outgoing=1), False),
        # UDP: who was seen first.
        (event(UDP, 53, 40000, outgoing=1, opener=1), True),
        (event(UDP, 53, 40000, outgoing=1), True),
    ],
)
def test_who_opened_a_flow_is_known_or_follows_from_the_ports(data: bytes, here: bool) -> None:
    assert records.event(data).opened_here is here


def test_latencies_and_drops_are_read() -> None:
    slots = [0] * records.SLOTS
    slots[7] = 3
    value = struct.pack("=QQII16s24I", 0, 150_900, 7, 1000, b"curl", *slots)
    found = records.latency(value)
    assert found.connect_us == 150
    assert found.owner == Owner(1000, 7, "curl")
    assert found.slots[7] == sum(found.slots) == 3
    assert records.latency(struct.pack("=QQII16s24I", 0, 0, 0, 0, b"", *slots)).owner == Owner()
    assert records.drop(struct.pack("=III", 4, 80, 0x86DD)) == Drop(4, 80, 0x86DD)


def test_names_of_reasons_come_from_the_kernel_that_runs() -> None:
    known = reasons.names(FORMAT)
    assert known == {2: "NOT_SPECIFIED", 3: "NO_SOCKET", 80: "TC_INGRESS"}
    assert reasons.name(80, known) == "TC_INGRESS"
    assert reasons.name(0x30001, known) == "reason 0x30001"
    assert reasons.names("a format of another kind") == {}
    assert (reasons.ethertype(0x86DD), reasons.ethertype(0x88CC)) == ("ipv6", "0x88cc")


def test_the_socket_that_listens_is_found_not_one_that_is_connected() -> None:
    assert bound(LISTENING, 8080, "0A") == (33, 78)
    assert bound(LISTENING, 8081, "0A") is None
