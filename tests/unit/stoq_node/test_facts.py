"""Facts out of what the kernel writes into /proc."""

from stoq_node.facts import default_interface, effective, filesystem

ZERO = "0" * 32
IPV4_HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def ipv6(destination: str, bits: str, metric: str, name: str) -> str:
    return f"{destination} {bits} {ZERO} 00 {ZERO} {metric} 00000001 00000000 00000003 {name}\n"


def test_effective_capabilities_are_read_as_bits() -> None:
    assert effective("Name:\tx\nCapPrm:\t0000\nCapEff:\t000001ffffffffff\n") == 0x1FFFFFFFFFF
    assert effective("Name:\tx\n") == 0


def test_the_innermost_and_last_mount_holds_a_path() -> None:
    mounts = (
        "22 1 0:5 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "23 22 0:6 / /sys rw - sysfs sysfs rw\n"
        "24 23 0:7 / /sys/fs/bpf rw shared:9 - bpf bpf rw,mode=700\n"
        "garbage\n"
    )
    assert filesystem(mounts, "/sys/fs/bpf/stoq") == "bpf"
    assert filesystem(mounts, "/sys/fs/bpf") == "bpf"
    assert filesystem(mounts, "/sys/fs/bpfx") == "sysfs"
    assert filesystem(mounts, "/home") == "ext4"
    over = mounts + "25 24 0:8 / /sys/fs/bpf rw - tmpfs tmpfs rw\n"
    assert filesystem(over, "/sys/fs/bpf/stoq") == "tmpfs"
    assert filesystem("", "/sys") == ""


def test_the_default_route_of_ipv6_with_the_best_metric_wins() -> None:
    routes = (
        ipv6(ZERO, "00", "00000400", "eth1")
        + ipv6(ZERO, "00", "00000100", "eth0")
        + ipv6("fd" + "0" * 30, "40", "00000001", "eth2")
        + ipv6(ZERO, "00", "ffffffff", "lo")
    )
    assert default_interface(routes, "") == "eth0"


def test_without_one_that_of_ipv4_counts_and_without_any_nothing() -> None:
    routes = (
        IPV4_HEAD
        + "eth3\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        + "eth4\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    assert default_interface("", routes) == "eth3"
    assert default_interface("", IPV4_HEAD) == ""
    assert default_interface("", "") == ""
