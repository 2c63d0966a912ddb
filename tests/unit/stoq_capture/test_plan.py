"""How the texts of annotations become a plan."""

from ipaddress import ip_address, ip_network

import pytest

from stoq.capture.plan import (
    Plan,
    PortRange,
    merged_networks,
    merged_ports,
    parse_endpoint,
    parse_networks,
    parse_ports,
)


def test_ports_and_ranges_are_read() -> None:
    assert parse_ports(" 443, 8000-8010 ,") == (PortRange(443, 443), PortRange(8000, 8010))
    assert parse_ports("") == ()
    assert [str(item) for item in parse_ports("443,8000-8010")] == ["443", "8000-8010"]


@pytest.mark.parametrize("text", ["http", "-1", "80-", "80-x", "1-2-3", "٣", "0", "65536", "9-8"])
def test_a_malformed_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"port"):
        parse_ports(f"443,{text}")


def test_networks_of_both_families_are_read() -> None:
    found = parse_networks("fd00::/64, 10.0.0.0/8, 192.0.2.1")
    assert found == (ip_network("fd00::/64"), ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"))


def test_a_network_with_host_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="has host bits set"):
        parse_networks("10.0.0.1/8")


def test_endpoints_are_read() -> None:
    assert parse_endpoint("[fd00::9]:14012") == (ip_address("fd00::9"), 14012)
    assert parse_endpoint("10.0.0.9:80") == (ip_address("10.0.0.9"), 80)


@pytest.mark.parametrize("text", ["fd00::9:14012", "10.0.0.9", "10.0.0.9:0", "[fd00::9]", ":80"])
def test_a_malformed_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"brackets|port|address"):
        parse_endpoint(text)


def test_overlapping_and_adjacent_ports_are_joined() -> None:
    joined = merged_ports(parse_ports("9005-9020,443,9000-9010,9021,444"))
    assert [str(item) for item in joined] == ["443-444", "9000-9021"]


def test_networks_inside_others_are_left_out() -> None:
    kept = merged_networks(parse_networks("10.1.0.0/16,10.0.0.0/8,fd00::/64,fd00::/48,::/0"))
    assert [str(item) for item in kept] == ["::/0", "10.0.0.0/8"]


def test_a_plan_without_a_sidecar_uid_is_refused() -> None:
    with pytest.raises(ValueError, match="captured again"):
        Plan(sidecar_uids=())


def test_root_may_not_be_the_sidecar() -> None:
    with pytest.raises(ValueError, match="runs as root would bypass"):
        Plan(sidecar_uids=(14008, 0))
