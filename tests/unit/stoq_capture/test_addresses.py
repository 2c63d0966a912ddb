"""The pod's own addresses, from what the kernel shows."""

from ipaddress import ip_address
from pathlib import Path

from stoq.capture.addresses import gateways, ipv6_available, link_mtu, own_addresses, parse_if_inet6

LINES = """\
00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000002 02 40 00 80     eth0
fd000000000000000000000000000003 02 40 00 c0     eth0
fd000000000000000000000000000004 02 40 00 88     eth0
fe80000000000000f8b1c2fffe3d4e5f 02 40 20 80     eth0
"""


def test_only_usable_global_addresses_count() -> None:
    # Not counted: loopback, tentative (0x40), duplicate (0x08), link-local.
    assert parse_if_inet6(LINES) == [ip_address("fd00::2")]


def test_a_kernel_without_ipv6_is_no_error(tmp_path: Path) -> None:
    assert not ipv6_available(tmp_path)
    assert all(address.version == 4 for address in own_addresses(tmp_path))


def test_a_pod_whose_ipv6_is_switched_off_has_none(tmp_path: Path) -> None:
    (tmp_path / "if_inet6").write_text("")
    assert not ipv6_available(tmp_path)
    (tmp_path / "if_inet6").write_text(LINES)
    assert ipv6_available(tmp_path)


def test_this_machine_has_a_link() -> None:
    assert 68 <= link_mtu() <= 65536
    assert not any(address.is_loopback for address in own_addresses())


def test_the_default_gateways_are_read_from_the_routes(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100F40A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0000F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    none, any_net = "0" * 32, "0" * 32 + " 00 " + "0" * 32 + " 00"
    there = "fd00000000000000000000000000000f"
    (tmp_path / "ipv6_route").write_text(
        f"{any_net} {there} 00000400 00000001 00000000 00000003 eth0\n"
        f"{any_net} fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n"
        f"{there} 80 {none} 00 {none} 00000000 00000002 00000000 80200001 lo\n"
    )
    assert [str(one) for one in gateways(tmp_path)] == ["10.244.0.1", "fd00::f"]
    assert gateways(tmp_path / "none") == []
