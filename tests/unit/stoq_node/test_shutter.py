"""What nft and a link are told to shut a pod (tests/netns has it for real)."""

import json
import re
from collections.abc import Callable

import pytest

from stoq_node import netlink, shutter
from stoq_node.shutter import TABLE, Ajar, Shutter, closing, nothing, opening


class Node:
    """The links that rules shut, those that are down, and an nft that may be broken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ruled: set[int] = set()
        self.down: set[int] = set()
        self.broken = self.late = False
        monkeypatch.setattr(shutter, "_nft", self.nft)
        monkeypatch.setattr(shutter, "_set", self.set)
        found: Callable[[], frozenset[int]] = lambda: frozenset(self.down)  # noqa: E731
        monkeypatch.setattr(shutter, "_down", found)

    def nft(self, *_: str, script: str | None = None) -> str:
        if self.broken and not self.late:
            raise Ajar("nft: timed out")
        if script is None:
            chains = [{"chain": {"table": TABLE, "name": f"to_pod_{one}"}} for one in self.ruled]
            return json.dumps({"nftables": chains})
        named = {int(number) for number in re.findall(r"to_pod_(\d+)", script)}
        if script == nothing():
            self.ruled.clear()
        elif "add rule" in script:
            self.ruled |= named
        else:
            self.ruled -= named
        if self.broken:
            raise Ajar("nft: timed out")
        return ""

    def set(self, index: int, *, up: bool) -> None:
        (self.down.discard if up else self.down.add)(index)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


@pytest.mark.parametrize("first", [True, False])
def test_a_link_that_was_shut_by_one_way_and_then_by_the_other_opens_whole(
    node: Node,
    first: bool,
) -> None:
    found = Shutter()
    for node.broken in (first, not first):
        found.shut(7, "veth1")
    assert (node.ruled, node.down) == ({7}, {7})
    node.broken = False
    successor = Shutter()
    assert successor.find() == {7}
    successor.open(7)
    assert (node.ruled, node.down) == (set(), set())
    found.open(7)
    assert (found.links, found.find()) == ({}, frozenset())


def test_rules_of_an_nft_that_took_too_long_are_found_and_opened(node: Node) -> None:
    found = Shutter()
    assert found.find() == frozenset()
    node.broken = node.late = True
    assert found.shut(7, "veth1") == "down"
    node.broken = node.late = False
    found.keep([7])
    found.open(7)
    assert (node.ruled, node.down) == (set(), set())


def test_what_a_predecessor_shut_is_asked_again_when_nobody_told(node: Node) -> None:
    node.ruled, node.broken = {7, 8}, True
    found = Shutter()
    assert found.find() == frozenset()
    node.broken = False
    assert found.find() == frozenset(), "each asking takes time"
    found.keep([7])
    assert found.links == {7: "rules"}
    assert node.ruled == {7}, "the other's link is gone"
    found.open(7)
    assert node.ruled == set()


def test_a_link_is_shut_both_ways_whatever_was_there_before() -> None:
    script = closing(7, "veth1")
    assert script.count("policy drop;") == 2
    assert 'to_pod_7 { type filter hook egress device "veth1"' in script
    assert 'from_pod_7 { type filter hook ingress device "veth1"' in script
    assert f"flush chain netdev {TABLE} to_pod_7\nadd rule netdev {TABLE} to_pod_7" in script


def test_a_link_is_opened_also_if_somebody_has_removed_its_rules() -> None:
    lines = opening(7).splitlines()
    for direction in ("to_pod", "from_pod"):
        chain = f"chain netdev {TABLE} {direction}_7"
        verbs = [line.split()[0] for line in lines if line.endswith(chain)]
        assert verbs == ["add", "flush", "delete"]
    assert nothing().splitlines() == [f"add table netdev {TABLE}", f"delete table netdev {TABLE}"]


def test_a_link_is_taken_down_with_a_name_that_is_read_back() -> None:
    (message,) = netlink.messages(netlink.link_set(7, up=False, alias="stoq: shut"))
    kind, content = message
    found = netlink.link(16, content)
    assert kind == 19
    assert found is not None
    assert (found.index, found.alias) == (7, "stoq: shut")
    assert content[8:16] == bytes(4) + (1).to_bytes(4, "little"), (
        "not up, and that alone is changed"
    )
