"""A pod's own addresses and link, as the kernel has them.

All functions work on the network namespace of the calling thread, as those of `nft` do.
"""

import fcntl
import socket
import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from stoq.capture.plan import Address

PROC: Final = Path("/proc/thread-self/net")
"""Not /proc/net: that is the namespace of the process's first thread."""

SIOCGIFADDR: Final = 0x8915  # <linux/sockios.h>
SIOCGIFMTU: Final = 0x8921
SCOPE_GLOBAL: Final = 0x00  # IPV6_ADDR scope column of /proc/net/if_inet6
RTF_GATEWAY: Final = 0x2  # <linux/route.h>
TENTATIVE_OR_FAILED: Final = 0x40 | 0x08  # IFA_F_TENTATIVE, IFA_F_DADFAILED <linux/if_addr.h>


def ipv6_available(proc: Path = PROC) -> bool:
    """Whether this pod has IPv6 at all, at least on loopback. Not so with `ipv6.disable=1` (no such
    file) and with the sysctl `net.ipv6.conf.all.disable_ipv6` (no address), which container
    runtimes set for IPv4-only networks.
    """
    try:
        return bool((proc / "if_inet6").read_text(encoding="ascii").strip())
    except OSError:
        return False


def parse_if_inet6(text: str) -> list[IPv6Address]:
    """Global addresses in /proc/net/if_inet6 that are usable. Pure."""
    found = []
    for line in text.splitlines():
        raw, _, _, scope, flags, name = line.split()
        usable = not int(flags, 16) & TENTATIVE_OR_FAILED
        if int(scope, 16) == SCOPE_GLOBAL and usable and name != "lo":
            found.append(IPv6Address(bytes.fromhex(raw)))
    return found


def own_addresses(proc: Path = PROC) -> list[Address]:
    """Global IPv6 addresses and the first IPv4 address of each interface but loopback."""
    found: list[Address] = []
    if ipv6_available(proc):
        found.extend(parse_if_inet6((proc / "if_inet6").read_text(encoding="ascii")))
    for _, name in socket.if_nameindex():
        if name == "lo":
            continue
        address = _ipv4_of(name)
        if address is not None:
            found.append(address)
    return found


def gateways(proc: Path = PROC) -> list[Address]:
    """The default gateways of this pod: a kubelet on the same node comes from there with many
    network plugins.
    """
    found: list[Address] = []
    for name, parse in (("route", parse_route), ("ipv6_route", parse_ipv6_route)):
        try:
            found += parse((proc / name).read_text(encoding="ascii"))
        except OSError:  # this kernel has no such family
            continue
    return list(dict.fromkeys(found))


def parse_route(text: str) -> list[IPv4Address]:
    """Gateways of the default routes in /proc/net/route. Pure."""
    found = []
    for line in text.splitlines()[1:]:
        _, destination, gateway, flags, *_, mask, _, _, _ = line.split()
        if int(destination, 16) == int(mask, 16) == 0 and int(flags, 16) & RTF_GATEWAY:
            # As the kernel holds it: in network order, shown as a number of this machine.
            found.append(IPv4Address(struct.pack("=I", int(gateway, 16))))
    return found


def parse_ipv6_route(text: str) -> list[IPv6Address]:
    """Gateways of the default routes in /proc/net/ipv6_route that are no link-local addresses:
    nobody connects from one of those. Pure.
    """
    found = []
    for line in text.splitlines():
        _, length, _, _, gateway, _, _, _, flags, _ = line.split()
        address = IPv6Address(bytes.fromhex(gateway))
        if int(length, 16) == 0 and int(flags, 16) & RTF_GATEWAY and not address.is_link_local:
            found.append(address)
    return found


def link_mtu(default: int = 1500) -> int:
    """The smallest MTU of the pod's interfaces but loopback, bytes; `default` if there are none.

    Asked by ioctl: /sys shows the network namespace that mounted it, which may be another.
    """
    sizes = []
    for _, name in socket.if_nameindex():
        answer = _ask(SIOCGIFMTU, name)
        if name != "lo" and answer is not None:
            sizes.append(int(struct.unpack_from("i", answer, 16)[0]))
    return min(sizes, default=default)


def _ipv4_of(interface: str) -> IPv4Address | None:
    answer = _ask(SIOCGIFADDR, interface)
    return IPv4Address(answer[20:24]) if answer is not None else None


def _ask(request: int, interface: str) -> bytes | None:
    """What the kernel says about an interface (netdevice(7)); None when it has no such thing, or
    has gone.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            return fcntl.ioctl(any_socket, request, struct.pack("16s24x", interface.encode()[:15]))
        except OSError:
            return None
