"""What has to change, what a pod may say in the clear, and how counters add up."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from stoq.capture.plan import PortRange
from stoq_node._kernel import Permission
from stoq_node.permissions import permissions
from stoq_node.plan import changes
from stoq_node.podfile import parse
from stoq_node.pods import Pod
from stoq_node.tally import Tally, verdict

WEB = Pod(namespace="shop", name="web", interface="veth1", inbound="strict")
DB = Pod(namespace="shop", name="db", interface="veth2")
NONE: frozenset[int] = frozenset()


def test_a_new_pod_is_enforced_where_its_link_is_and_waits_where_it_is_not() -> None:
    found = changes([WEB, DB], {"veth1": 7, "lo": 1}, {}, NONE, NONE)
    assert found.enforce == {7: WEB}
    assert found.waiting == (DB,)
    assert not found.release


def test_what_is_in_force_stays_untouched_and_what_differs_is_renewed() -> None:
    links = {"veth1": 7, "veth2": 8}
    both = frozenset({7, 8})
    settled = changes([WEB, DB], links, {7: WEB, 8: DB}, both, both)
    assert (settled.enforce, settled.release, settled.waiting) == ({}, NONE, ())
    strict = Pod(namespace="shop", name="db", interface="veth2", outbound="meshOnly")
    assert changes([WEB, strict], links, {7: WEB, 8: DB}, both, both).enforce == {8: strict}


def test_a_link_that_somebody_took_off_is_put_back() -> None:
    found = changes([WEB], {"veth1": 7}, {7: WEB}, frozenset({7}), NONE)
    assert found.enforce == {7: WEB}


def test_a_successor_takes_over_everything_and_frees_the_rest() -> None:
    found = changes([WEB], {"veth1": 7, "veth2": 8}, {}, frozenset({7, 8, 9}), frozenset({7, 8}))
    assert found.enforce == {7: WEB}
    assert found.release == {8, 9}


def test_a_link_made_anew_is_another_one() -> None:
    found = changes([WEB], {"veth1": 12}, {7: WEB}, frozenset({7}), frozenset({7}))
    assert (found.enforce, found.release) == ({12: WEB}, frozenset({7}))


def test_no_link_is_opened_while_it_may_be_that_of_a_pod_whose_link_is_not_known() -> None:
    lost = Pod(namespace="shop", name="db", interface="", inbound="strict")
    known, links = frozenset({7, 8, 9}), {"veth1": 7, "veth2": 8}
    found = changes([WEB, lost], links, {7: WEB}, known, known)
    assert (found.enforce, found.waiting) == ({}, (lost,))
    assert found.release == {9}
    assert changes([WEB], links, {7: WEB}, known, known).release == {8, 9}


def test_a_pod_may_be_scraped_and_say_what_its_list_says() -> None:
    (pod,) = parse(
        '[[pods]]\nnamespace = "a"\nname = "b"\ninterface = "c"\nprobe_ports = "8080-8081"\n'
        'exclude_outbound_networks = "10.0.0.0/8"\nexclude_inbound_networks = "fd00::/64"\n'
        'exclude_outbound_ports = "443"\nexclude_inbound_ports = "22"\n'
        'nameservers = "10.96.0.10"\napi_servers = "[fd00::1]:6443"\n'
    )
    assert permissions(pod) == {
        Permission.port(14020, "tcp", "to_pod"),
        Permission.probe(8080),
        Permission.probe(8081),
        Permission.network("10.0.0.0/8", "from_pod"),
        Permission.network("fd00::/64", "to_pod"),
        Permission.port(443, "tcp", "from_pod"),
        Permission.port(22, "tcp", "to_pod"),
        Permission.service("10.96.0.10", 53, "udp", "dns"),
        Permission.service("10.96.0.10", 53, "tcp", "dns"),
        Permission.service("fd00::1", 6443, "tcp", "api_server"),
    }


def test_where_udp_is_captured_excluded_ports_are_of_udp_too() -> None:
    text = (
        '[[pods]]\nnamespace = "a"\nname = "b"\ninterface = "c"\nudp = false\n'
        'exclude_outbound_ports = "443"\nexclude_outbound_udp_ports = "123"\n'
        'exclude_inbound_ports = "22"\nexclude_inbound_udp_ports = "5060"\n'
    )
    (captured,), (passes,) = parse(text), parse(text.replace("udp = false\n", ""))
    assert permissions(captured) - permissions(passes) == {
        Permission.port(443, "udp", "from_pod"),
        Permission.port(123, "udp", "from_pod"),
        Permission.port(22, "udp", "to_pod"),
        Permission.port(5060, "udp", "to_pod"),
    }
    assert permissions(passes) < permissions(captured)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Permission.network("10.0.0.1/8", "to_pod"), "10.0.0.1/8"),
        (lambda: Permission.network("10.0.0.0/8", "up"), '"up" is none of to_pod, from_pod'),
        (lambda: Permission.service("dns", 53, "udp", "dns"), '"dns" is no IP address'),
        (lambda: Permission.service("::1", 53, "icmp", "dns"), 'neither "tcp" nor "udp"'),
        (lambda: Permission.service("::1", 53, "udp", "why"), '"why" is none of stoq, control'),
    ],
)
def test_a_permission_that_can_not_be_is_named(wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        wrong()


def test_permissions_are_compared_by_what_they_permit() -> None:
    assert Permission.probe(80) == Permission.probe(80)
    assert Permission.probe(80) != Permission.port(80, "tcp", "to_pod")
    assert "Probe { port: 80 }" in repr(Permission.probe(80))


def test_what_was_counted_is_booked_on_the_mode_of_its_time() -> None:
    tally = Tally()
    open_ = Pod(namespace="shop", name="web", interface="veth1")
    tally.strict(7, open_, [("to_pod", "plain_tcp", True, 5, 500), ("to_pod", "stoq", False, 2, 9)])
    tally.strict(7, WEB, [("to_pod", "plain_tcp", True, 8, 800), ("to_pod", "stoq", False, 2, 9)])
    assert tally.packets == {
        ("shop", "web", "to_pod", "plain_tcp", "would_drop"): 5,
        ("shop", "web", "to_pod", "plain_tcp", "dropped"): 3,
        ("shop", "web", "to_pod", "stoq", "passed"): 2,
    }
    assert tally.bytes["shop", "web", "to_pod", "plain_tcp", "dropped"] == 300


def test_what_may_leave_in_the_clear_is_told_from_what_left() -> None:
    tally = Tally()
    pod = replace(
        DB,
        nameservers=(ip_address("10.96.0.10"),),
        api_servers=((ip_address("10.96.0.1"), 443), (ip_address("fd00::a"), 6443)),
        exclude_outbound_ports=(PortRange(6000, 7000),),
    )
    tally.near = frozenset({"fd00::1"})
    shut = replace(pod, outbound="meshOnly")
    plain = ("from_pod", "plain_tcp", True)
    exempt = ("from_pod", "exempt_udp", False, 1, 40)
    tally.strict(8, pod, [(*plain, 1, 100), ("from_pod", "exempt", False, 1, 70), exempt])
    tally.strict(8, shut, [(*plain, 2, 300), ("to_pod", "exempt", False, 1, 60)])
    udp = ("from_pod", "plain_udp", True)
    tally.strict(8, shut, [(*udp, 1, 5), ("from_pod", "plain_other", True, 1, 9)])
    excused = {("shop", "db", "tcp"): 270, ("shop", "db", "udp"): 45}
    assert tally.excused == excused, "exempt, and what strict mode dropped"
    peers = ["fd00::1", "10.96.0.10", "fd00::a", "10.96.0.1", "10.0.0.9"]
    entries = [(8, peer, "from_pod", "tcp", 1, 50) for peer in peers]
    others = [(8, "10.0.0.9", "to_pod", "tcp", 1, 5), (8, "10.0.0.9", "from_pod", "udp", 1, 5)]
    tally.accounts({8: pod}, [*entries, *others])
    left = {("shop", "db", "tcp"): 100}
    assert tally.left == left, "not the node, nor what is dialled directly"
    assert tally.peers(pod, "tcp") == {"10.96.0.1": 50, "10.0.0.9": 50}
    assert not tally.peers(pod, "tcp"), "told once"
    idle = Tally()
    idle.accounts({8: pod}, entries)
    assert not idle.left, "nobody asks"
    tally.keep([], [])
    assert not tally.left + tally.excused


def test_datagrams_are_to_go_by_the_sidecar_that_captures_them_but_not_to_groups() -> None:
    tally = Tally()
    tally.near = frozenset({"fd00::1"})
    captured = replace(DB, udp=False, nameservers=(ip_address("10.96.0.10"),))
    alone = ["ff02::fb", "224.0.0.251", "255.255.255.255", "fe80::1", "169.254.20.10"]
    peers = [*alone, "fd00::1", "10.96.0.10", "10.0.0.9"]
    tally.accounts({8: captured}, [(8, peer, "from_pod", "udp", 1, 50) for peer in peers])
    assert tally.left == {("shop", "db", "udp"): 50}
    assert tally.peers(captured, "udp") == {"10.0.0.9": 50}
    tally.accounts({8: DB}, [(8, "10.0.0.9", "from_pod", "udp", 2, 90)])
    assert tally.left == {("shop", "db", "udp"): 50}, "not captured: it passes as it is"


def test_a_link_made_anew_counts_on() -> None:
    tally = Tally()
    tally.strict(7, WEB, [("to_pod", "plain_tcp", True, 5, 500)])
    tally.keep([WEB], [])
    tally.strict(12, WEB, [("to_pod", "plain_tcp", True, 1, 100)])
    assert tally.packets["shop", "web", "to_pod", "plain_tcp", "dropped"] == 6


def test_accounts_are_added_up_over_peers_and_survive_what_the_kernel_forgets() -> None:
    tally = Tally()
    pods = {7: WEB}
    first = [(7, "fd00::1", "to_pod", "tcp", 5, 50), (7, "fd00::2", "to_pod", "tcp", 1, 10)]
    tally.accounts(pods, [*first, (9, "fd00::1", "to_pod", "tcp", 7, 70)])
    tally.accounts(pods, [(7, "fd00::1", "to_pod", "tcp", 2, 20), first[1]])
    key = ("shop", "web", "to_pod", "tcp", "")
    assert (tally.packets, tally.bytes) == ({key: 8}, {key: 80})
    tally.keep([], [])
    assert not tally.packets
    assert not tally.bytes


@pytest.mark.parametrize(
    ("direction", "plaintext", "became"),
    [
        ("to_pod", True, "dropped"),
        ("from_pod", True, "would_drop"),
        ("to_pod", False, "passed"),
    ],
)
def test_the_verdict_is_that_of_the_direction(direction: str, plaintext: bool, became: str) -> None:
    assert verdict(WEB, direction, plaintext) == became
