"""What the demonstration makes of what programs over UDP say."""

from typing import Any

from lab.demo.scenarios import udp

LOG = """\
[1700000000] unbound[7:0] notice: init module 0: validator
[1700000000] unbound[7:0] info: start of service (unbound 1.17.1).
[1700000001] unbound[7:0] info: fd00::b web.example.test. AAAA IN
[1700000002] unbound[7:0] info: {last} web.example.test. TXT IN
"""


def told(**changes: Any) -> dict[str, Any]:
    plain = {"packets": 1000, "lost_packets": 100, "bits_per_second": 19.96e6, "jitter_ms": 0.123}
    return {**plain, **changes}


def test_the_name_server_has_to_see_the_clients_own_address() -> None:
    assert udp.source_check(LOG.format(last="fd00::b"), "fd00::b").ok
    other = udp.source_check(LOG.format(last="fd00::c"), "fd00::b")
    assert not other.ok
    assert "fd00::b, fd00::c" in other.detail
    assert not udp.source_check("", "fd00::b").ok


def test_a_tenth_of_the_datagrams_may_be_lost_and_no_more() -> None:
    load = udp.LOADS[0]

    assert udp.load_check(load, told()).ok
    assert not udp.load_check(load, told(lost_packets=101)).ok
    assert not udp.load_check(load, told(packets=0, lost_packets=0)).ok
    assert udp.load_row(load, told()) == ["1.2 kB", "1000", "100", "20.0 Mbit/s", "0.12 ms"]


def test_datagrams_have_to_go_both_ways_of_the_sidecar() -> None:
    assert udp.carried_check(100, 10).ok
    assert not udp.carried_check(100, 0).ok
    assert not udp.carried_check(0, 0).ok
