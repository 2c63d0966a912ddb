"""What nft and a link are told to shut a pod (tests/netns has it for real)."""

from stoq_node import netlink
from stoq_node.shutter import TABLE, closing, nothing, opening


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
