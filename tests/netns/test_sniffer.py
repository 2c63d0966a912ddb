"""The witness must be able to see: a count of 0 is worth nothing from one that is blind."""

import os
import signal
from collections.abc import Iterator

import pytest

from lab import apps, netns, plan, process, sniff
from lab.command import run
from lab.state import State
from netns.laboratories import pods

MARKER = b"a payload that everybody on the wire can read"


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, State]]:
    with pods("alice", "bob", "carol") as (layout, state):
        yield layout, state


def _serve(state: State, server: plan.Pod) -> None:
    folder = state.folder / "files"
    folder.mkdir()
    (folder / "marker").write_bytes(MARKER)
    apps.nginx(state, server, folder)


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_plaintext_between_pods_is_counted_and_its_payload_found(
    laboratory: tuple[plan.Plan, State], family: str
) -> None:
    layout, state = laboratory
    address = str(getattr(layout.pod("bob"), family))
    _serve(state, layout.pod("bob"))
    host = f"[{address}]" if ":" in address else address
    counting = sniff.Capture.start(
        state, "count", layout.fabric, expression=sniff.NOT_STOQ, snapshot=sniff.HEAD_BYTES
    )
    whole = sniff.Capture.start(state, "full", layout.fabric, expression="", snapshot=sniff.WHOLE)
    body = netns.run_in(layout.pod("alice").netns, ["curl", "-s", f"http://{host}:8080/marker"])
    assert body.encode() == MARKER

    dropped = counting.stop()
    whole.stop()
    counted = sniff.count(sniff.packets(counting.file), frozenset(), dropped)

    assert counted.dropped == 0
    assert counted.plaintext_packets >= 8, "a TCP connection takes that many packets both ways"
    assert all("TCP" in label and "8080" in label for label in counted.plaintext)
    assert any("neighbour" in label or label == "ARP" for label in counted.exempt)
    assert sniff.find_marker(sniff.packets(whole.file), MARKER, frozenset()) == (1, 0)


def test_a_bystander_is_told_apart_from_the_mesh(laboratory: tuple[plan.Plan, State]) -> None:
    layout, state = laboratory
    bob, carol = layout.pod("bob"), layout.pod("carol")
    _serve(state, bob)
    counting = sniff.Capture.start(
        state, "count", layout.fabric, expression=sniff.NOT_STOQ, snapshot=sniff.HEAD_BYTES
    )
    netns.run_in(carol.netns, ["curl", "-s", f"http://[{bob.ipv6}]:8080/marker"])
    dropped = counting.stop()

    counted = sniff.count(sniff.packets(counting.file), frozenset(carol.addresses), dropped)

    assert counted.plaintext_packets == 0
    assert sum(counted.bystanders.values()) >= 8


def test_stoq_ports_pass_uncounted_and_nothing_else_on_udp_does(
    laboratory: tuple[plan.Plan, State],
) -> None:
    layout, state = laboratory
    alice, bob = layout.pod("alice"), layout.pod("bob")
    counting = sniff.Capture.start(
        state, "count", layout.fabric, expression=sniff.NOT_STOQ, snapshot=sniff.HEAD_BYTES
    )
    for port in (14008, 14012, 14001):
        sender = (
            "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM);"
            f"s.sendto(b'datagram', ('{bob.ipv6}', {port}))"
        )
        netns.run_in(alice.netns, ["/usr/bin/python3", "-c", sender])
    dropped = counting.stop()

    counted = sniff.count(sniff.packets(counting.file), frozenset(), dropped)

    assert [label.split(" > ")[1].split()[0] for label in counted.plaintext] == ["14001"]
    assert counted.plaintext_packets == 1


def test_a_witness_of_whole_packets_that_is_held_up_misses_none_of_hundreds(
    laboratory: tuple[plan.Plan, State],
) -> None:
    layout, state = laboratory
    alice, bob = layout.pod("alice"), layout.pod("bob")
    whole = sniff.Capture.start(state, "full", layout.fabric, expression="", snapshot=sniff.WHOLE)
    (witness,) = map(int, run(["ip", "netns", "pids", layout.fabric]).stdout.split())
    send = f"for i in $(seq 200); do printf x > /dev/udp/{bob.ipv6}/14001; done"
    os.kill(witness, signal.SIGSTOP)
    try:
        netns.run_in(alice.netns, ["bash", "-c", send])
    finally:
        os.kill(witness, signal.SIGCONT)

    assert whole.stop() == 0
    sent = [packet for _, packet in sniff.packets(whole.file) if packet.source == alice.ipv6]
    assert len(sent) >= 200


def test_taking_a_laboratory_down_removes_what_it_made_and_nothing_else() -> None:
    before = set(run(["ip", "netns", "list"]).stdout.split())
    layout = plan.make(plan.new_run_id("t"), ["alice"])
    state = State.create(layout.run, "test")
    netns.build(layout, state)
    bystander = plan.make(plan.new_run_id("t"), ["other"])
    other = State.create(bystander.run, "test")
    try:
        netns.build(bystander, other)
        sleeper = process.start(state, "sleep", ["sleep", "60"], netns=layout.pods[0].netns)

        State.load(state.folder).remove()

        assert not sleeper.running()
        assert not state.folder.exists()
        left = set(run(["ip", "netns", "list"]).stdout.split()) - before
        assert layout.fabric not in left
        assert {bystander.fabric, bystander.pods[0].netns} <= left
    finally:
        other.remove()
